//! The health probe: for containers that hold no shell and no curl.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// An answer may take this long.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The pause before the same question is asked again.
const PAUSE: Duration = Duration::from_millis(500);

/// A question to an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Does everything it depends on work, NATS included? For people.
    Healthy,
    /// Does it make progress? It does while NATS is away: a supervisor that restarts an agent
    /// for that throws away the state that the agent would go on with.
    Live,
    /// Is it connected, and does it have its share of the work?
    Ready,
}

impl Question {
    const fn path(self) -> &'static str {
        match self {
            Self::Healthy => "health",
            Self::Live => "livez",
            Self::Ready => "readyz",
        }
    }
}

/// The reason why an agent does not count as healthy.
#[derive(Debug, thiserror::Error)]
pub enum Unhealthy {
    /// There is nobody to ask.
    #[error("HTTP_ADDR is off, so there is no endpoint to ask; set it, or name one with --url")]
    Off,
    /// Nobody answered.
    #[error("{url} does not answer: {error}")]
    Unreachable {
        /// The requested URL.
        url: String,
        /// The failure.
        error: Box<ureq::Error>,
    },
    /// The answer was no.
    #[error("{url} answers {status}: {body}")]
    Refused {
        /// The requested URL.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The start of what it said.
        body: String,
    },
}

/// The base URL of an agent on this machine that listens on `addr`: an unspecified address is
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

/// Asks the agent at `base`, again and again for `wait`, and returns the line to print.
///
/// # Errors
/// If the last answer is not 2xx, or did not come within three seconds.
pub fn ask(base: &str, question: Question, wait: Duration) -> Result<String, Unhealthy> {
    let began = Instant::now();
    loop {
        let outcome = probe(base, question);
        let left = wait.saturating_sub(began.elapsed());
        if outcome.is_ok() || left.is_zero() {
            return outcome;
        }
        sleep(PAUSE.min(left));
    }
}

fn probe(base: &str, question: Question) -> Result<String, Unhealthy> {
    let url = format!("{}/{}", base.trim_end_matches('/'), question.path());
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
        let line = probe(&format!("{base}/"), Question::Healthy).unwrap();
        assert_eq!(line, format!("{base}/health answers 200"));
        assert_eq!(server.join().unwrap(), "GET /health HTTP/1.1");
    }

    #[test]
    fn an_agent_that_is_not_ready_is_reported_with_its_reason() {
        let (base, server) =
            serve("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 9\r\n\r\ndraining\n");
        let error = probe(&base, Question::Ready).unwrap_err();
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
            ask(&base, Question::Live, Duration::ZERO),
            Err(Unhealthy::Unreachable { .. })
        ));
    }

    #[test]
    fn a_no_is_asked_again_while_there_is_patience() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = base_url(listener.local_addr().ok()).unwrap();
        let server = thread::spawn(move || {
            for status in ["503 Service Unavailable", "200 OK"] {
                let (mut stream, _) = listener.accept().unwrap();
                let length = stream.read(&mut [0; 2_048]).unwrap();
                assert!(length > 0);
                write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").unwrap();
            }
        });
        let line = ask(&base, Question::Live, Duration::from_secs(60)).unwrap();
        assert_eq!(line, format!("{base}/livez answers 200"));
        server.join().unwrap();
    }
}
