//! The health probe: for containers that hold no shell and no curl.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Why an agent does not count as healthy.
#[derive(Debug, thiserror::Error)]
pub enum Unhealthy {
    /// There is nobody to ask.
    #[error("HTTP_ADDR is off, so there is no endpoint to ask; set it, or name one with --url")]
    Off,
    /// Nobody answered.
    #[error("{url} does not answer: {error}")]
    Unreachable {
        /// What was asked.
        url: String,
        /// What went wrong.
        error: Box<ureq::Error>,
    },
    /// The answer was no.
    #[error("{url} answers {status}: {body}")]
    Refused {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The start of what it said.
        body: String,
    },
}

/// Where to ask an agent on this machine that listens on `addr`: an unspecified address is
/// reached over the loopback.
///
/// # Errors
/// [`Unhealthy::Off`] without an address.
pub fn base_url(addr: Option<SocketAddr>) -> Result<String, Unhealthy> {
    let mut addr = addr.ok_or(Unhealthy::Off)?;
    if addr.ip().is_unspecified() {
        addr.set_ip(match addr.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok(format!("http://{addr}"))
}

/// Asks `<base>/health`, or `<base>/readyz`, and gives a line that says how it went.
///
/// # Errors
/// When the answer is not 2xx, or there is none within three seconds.
pub fn probe(base: &str, ready: bool) -> Result<String, Unhealthy> {
    let path = if ready { "readyz" } else { "health" };
    let url = format!("{}/{path}", base.trim_end_matches('/'));
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .http_status_as_error(false)
        .max_redirects(0)
        // a probe is for the next door, whatever proxy the environment names
        .proxy(None)
        .build()
        .into();
    let mut response = agent.get(&url).call().map_err(|error| {
        let (url, error) = (url.clone(), Box::new(error));
        Unhealthy::Unreachable { url, error }
    })?;
    let status = response.status();
    if status.is_success() {
        return Ok(format!("{url} answers {}", status.as_u16()));
    }
    let body = response.body_mut().read_to_string().unwrap_or_default();
    Err(Unhealthy::Refused {
        url,
        status: status.as_u16(),
        body: body
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .chars()
            .take(400)
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Answers one request with `answer`; gives its base URL and, later, the request line.
    fn serve(answer: &'static str) -> (String, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = base_url(listener.local_addr().ok()).unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 2_048];
            let length = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            request.lines().next().unwrap_or_default().to_owned()
        });
        (base, server)
    }

    #[test]
    fn an_unspecified_address_is_asked_over_the_loopback() {
        let url = |addr: &str| base_url(Some(addr.parse().unwrap())).unwrap();
        assert_eq!(url("0.0.0.0:8080"), "http://127.0.0.1:8080");
        assert_eq!(url("[::]:8080"), "http://[::1]:8080");
        assert_eq!(url("10.1.2.3:80"), "http://10.1.2.3:80");
        assert!(matches!(base_url(None), Err(Unhealthy::Off)));
    }

    #[test]
    fn a_healthy_agent_is_reported_as_such() {
        let (base, server) = serve("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
        let line = probe(&format!("{base}/"), false).unwrap();
        assert_eq!(line, format!("{base}/health answers 200"));
        assert_eq!(server.join().unwrap(), "GET /health HTTP/1.1");
    }

    #[test]
    fn an_agent_that_is_not_ready_is_reported_with_its_reason() {
        let (base, server) =
            serve("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 9\r\n\r\ndraining\n");
        let error = probe(&base, true).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{base}/readyz answers 503: draining")
        );
        assert_eq!(server.join().unwrap(), "GET /readyz HTTP/1.1");
    }

    #[test]
    fn nobody_there_is_unhealthy() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = base_url(listener.local_addr().ok()).unwrap();
        drop(listener);
        assert!(matches!(
            probe(&base, false),
            Err(Unhealthy::Unreachable { .. })
        ));
    }
}
