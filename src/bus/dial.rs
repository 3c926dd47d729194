//! The server that is dialled next, and the login it is sent.
//!
//! async-nats 0.51 parses the credentials in a URL and sends none of them, and what it can be given
//! to send goes to every server alike. Two of its callbacks together do better: the one that picks
//! the next server of the pool is ours, so the one that asks for the login, which follows it, can
//! give the login of that server. Settings may be replaced at any time; the next handshake uses
//! the new ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::{Auth as Answer, AuthError, ReconnectToServer, Server, ServerAddr};
use nkeys::KeyPair;
use percent_encoding::percent_decode_str;

use super::backoff::{backoff, jitter, random_below};
use super::credentials;
use crate::config::{Auth, NatsConfig, Secret};

/// The first reconnect follows within this.
const FIRST_RECONNECT: Duration = Duration::from_millis(100);

/// Picks servers and knows their logins.
#[derive(Debug, Default)]
pub(super) struct Dialler(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    settings: Option<Settings>,
    /// Dials of each server of the pool since it last let us in.
    dials: BTreeMap<Address, usize>,
    dialled: Option<Address>,
    /// The login that a server last accepted, for servers that are known from that server only.
    accepted: Option<Login>,
}

#[derive(Debug)]
struct Settings {
    auth: Auth,
    /// Logins of the URLs that carry one, in the order of `NATS_URL`.
    logins: Vec<(Address, Login)>,
}

/// Host and port.
type Address = (String, u16);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Login {
    User(String, Secret),
    Token(Secret),
}

impl Dialler {
    /// Takes the credentials of `config`, unless it has some already.
    pub fn begin(&self, config: &NatsConfig) {
        let mut state = self.state();
        if state.settings.is_none() {
            state.settings = Some(Settings::of(config));
        }
    }

    /// Takes the credentials of `config` in place of those that it has.
    pub fn replace(&self, config: &NatsConfig) {
        self.state().settings = Some(Settings::of(config));
    }

    /// The server dialled last, as `host:port`.
    pub fn dialled(&self) -> Option<String> {
        self.state().dialled.as_ref().map(shown)
    }

    /// The server dialled last has let us in.
    pub fn accepted(&self) {
        let mut state = self.state();
        let login = state.login().cloned();
        if login.is_some() {
            state.accepted = login;
        }
        if let Some(dialled) = state.dialled.clone() {
            state.dials.insert(dialled, 0);
        }
    }

    /// Picks one of those servers that were dialled least often, at random, so that a fleet that
    /// lost one server does not move as one.
    pub fn pick(&self, pool: &[Server], reconnecting: bool) -> Option<ReconnectToServer> {
        let mut state = self.state();
        state
            .dials
            .retain(|address, _| pool.iter().any(|server| of(&server.addr) == *address));
        let dials = |server: &&Server| state.dials.get(&of(&server.addr)).copied().unwrap_or(0);
        let fewest = pool.iter().map(|server| dials(&server)).min()?;
        let candidates: Vec<&Server> = pool
            .iter()
            .filter(|server| dials(server) == fewest)
            .collect();
        let server = candidates.get(random_below(candidates.len()))?;
        let delay = match fewest {
            // the first connection has its waits in `connect`
            _ if !reconnecting => Duration::ZERO,
            0 => jitter(FIRST_RECONNECT),
            failed => backoff(failed + 1),
        };
        let address = of(&server.addr);
        *state.dials.entry(address.clone()).or_default() += 1;
        state.dialled = Some(address);
        Some(ReconnectToServer {
            addr: server.addr.clone(),
            delay: Some(delay),
        })
    }

    /// The reason why the server dialled last could not be connected to, from a snapshot of the
    /// pool.
    pub fn failure(&self, pool: &[Server]) -> Option<String> {
        let dialled = self.state().dialled.clone()?;
        let server = pool.iter().find(|server| of(&server.addr) == dialled)?;
        let reason = server.last_error.as_ref()?;
        Some(format!("{}: {reason}", shown(&dialled)))
    }

    /// The answer to the `nonce` of the server dialled last.
    pub async fn answer(&self, nonce: &[u8]) -> Result<Answer, AuthError> {
        let (auth, login) = {
            let state = self.state();
            let auth = state
                .settings
                .as_ref()
                .map(|settings| settings.auth.clone());
            (auth.unwrap_or(Auth::None), state.login().cloned())
        };
        let mut answer = Answer::new();
        match auth {
            Auth::CredsFile(path) => return credentials::answer(&path, nonce).await,
            Auth::Nkey(seed) => {
                let key = KeyPair::from_seed(seed.reveal()).map_err(AuthError::new)?;
                answer.nkey = Some(key.public_key());
                answer.signature = Some(key.sign(nonce).map_err(AuthError::new)?);
            }
            Auth::UserPassword { user, password } => {
                Login::User(user, password).fill(&mut answer);
            }
            Auth::Token(token) => Login::Token(token).fill(&mut answer),
            Auth::None => {
                if let Some(login) = login {
                    login.fill(&mut answer);
                }
            }
        }
        Ok(answer)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // each change is a single assignment, which a panic cannot cut in half
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The login for the server dialled last.
    fn login(&self) -> Option<&Login> {
        let settings = self.settings.as_ref()?;
        let dialled = self.dialled.as_ref();
        let own = |(address, _): &&(Address, Login)| Some(address) == dialled;
        // one server may stand in the list more than once, with other credentials
        let all: Vec<&Login> = settings
            .logins
            .iter()
            .filter(own)
            .map(|(_, login)| login)
            .collect();
        if all.is_empty() {
            return self
                .accepted
                .as_ref()
                .filter(|login| settings.logins.iter().any(|(_, known)| known == *login))
                .or_else(|| settings.logins.first().map(|(_, login)| login));
        }
        let dials = dialled.and_then(|address| self.dials.get(address)).copied();
        let at = dials.unwrap_or(0).saturating_sub(1) % all.len();
        all.get(at).copied()
    }
}

impl Settings {
    fn of(config: &NatsConfig) -> Self {
        let in_url = |server| Some((of(server), Login::in_url(server)?));
        Self {
            auth: config.auth.clone(),
            logins: config.servers.iter().filter_map(in_url).collect(),
        }
    }
}

impl Login {
    /// `user:password@` or `token@`.
    fn in_url(server: &ServerAddr) -> Option<Self> {
        let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let user = plain(server.username()?);
        Some(match server.password() {
            Some(password) => Self::User(user, Secret::new(plain(password))),
            None => Self::Token(Secret::new(user)),
        })
    }

    fn fill(self, answer: &mut Answer) {
        match self {
            Self::User(user, password) => {
                answer.username = Some(user);
                answer.password = Some(password.reveal().to_owned());
            }
            Self::Token(token) => answer.token = Some(token.reveal().to_owned()),
        }
    }
}

/// The addresses alone: what async-nats logs of a server must not hold a password.
pub(super) fn without_logins(servers: &[ServerAddr]) -> Vec<ServerAddr> {
    let bare = |server: &ServerAddr| {
        let mut url = server.clone().into_inner();
        // these fail for URLs without a host only, and every server has one
        let _ = url.set_username("");
        let _ = url.set_password(None);
        ServerAddr::from_url(url).unwrap_or_else(|_| server.clone())
    };
    let mut bare: Vec<ServerAddr> = servers.iter().map(bare).collect();
    let mut seen = BTreeSet::new();
    bare.retain(|server| seen.insert(of(server)));
    bare
}

fn of(server: &ServerAddr) -> Address {
    (server.host().to_owned(), server.port())
}

fn shown((host, port): &Address) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::JetStreamApi;

    fn config(urls: &[&str]) -> NatsConfig {
        NatsConfig {
            servers: urls.iter().map(|url| url.parse().unwrap()).collect(),
            auth: Auth::None,
            tls_ca: None,
            tls_client: None,
            connect_timeout: None,
            jetstream: JetStreamApi::default(),
        }
    }

    fn pool(urls: &[&str]) -> Vec<Server> {
        let server = |url: &&str| Server {
            addr: url.parse().unwrap(),
            failed_attempts: 0,
            did_connect: false,
            is_discovered: false,
            last_error: None,
        };
        urls.iter().map(server).collect()
    }

    fn answer(dialler: &Dialler) -> Answer {
        futures_util::FutureExt::now_or_never(dialler.answer(b"nonce"))
            .unwrap()
            .unwrap()
    }

    #[test]
    fn every_server_is_dialled_before_one_is_dialled_again() {
        let dialler = Dialler::default();
        let pool = pool(&["nats://a", "nats://b:4223", "nats://[::1]:4224"]);
        for _ in 0..3 {
            let mut dialled: Vec<String> = (0..3)
                .map(|_| {
                    let picked = dialler.pick(&pool, false).unwrap();
                    assert_eq!(picked.delay, Some(Duration::ZERO));
                    dialler.dialled().unwrap()
                })
                .collect();
            dialled.sort();
            assert_eq!(dialled, ["[::1]:4224", "a:4222", "b:4223"]);
        }
        // a reconnect waits, the longer the more often all have failed
        let picked = dialler.pick(&pool, true).unwrap();
        assert!(picked.delay.unwrap() >= Duration::from_millis(400));
        dialler.accepted();
        let again = dialler.dialled();
        let picked = dialler.pick(&pool, true).unwrap();
        assert!(picked.delay.unwrap() <= FIRST_RECONNECT);
        assert_eq!(dialler.dialled(), again);
        assert!(dialler.pick(&[], true).is_none());
    }

    #[test]
    fn each_server_gets_its_own_login() {
        let dialler = Dialler::default();
        let urls = ["nats://ann:p%24w@a", "nats://t0ken@b", "nats://c"];
        dialler.begin(&config(&urls));
        let login_at = |host: &str| {
            dialler
                .pick(&pool(&[&format!("nats://{host}")]), true)
                .unwrap();
            let answer = answer(&dialler);
            (answer.username, answer.password, answer.token)
        };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(login_at("a"), (text("ann"), text("p$w"), None));
        assert_eq!(login_at("b"), (None, None, text("t0ken")));
        // a server without a login gets the first, or the one that was accepted last
        assert_eq!(login_at("c"), (text("ann"), text("p$w"), None));
        login_at("b");
        dialler.accepted();
        assert_eq!(login_at("discovered"), (None, None, text("t0ken")));
        // what is replaced is forgotten
        dialler.replace(&config(&["nats://bob:new@a"]));
        assert_eq!(login_at("discovered"), (text("bob"), text("new"), None));
    }

    #[test]
    fn what_is_given_to_the_client_holds_no_login_and_no_server_twice() {
        let servers = config(&["nats://ann:pw@a", "tls://b:4223", "nats://bob:pw@a"]).servers;
        let shown: Vec<String> = without_logins(&servers)
            .iter()
            .map(|server| server.as_url_str().to_owned())
            .collect();
        assert_eq!(shown, ["nats://a", "tls://b:4223"]);
    }
}
