//! A network between an agent and its server that can be cut, fall silent or be slow.
//!
//! Real sockets on both sides. What a silent network holds back is delivered when it heals, as
//! TCP delivers what it sends again; what is on its way when a network is cut is lost.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Pieces on their way in one direction.
const ON_THE_WAY: usize = 64;
const PIECE: usize = 16 << 10;

/// End of the connections in a [`Network::Cut`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// At once, with RST.
    Reset,
    /// In good order, with FIN.
    Close,
}

/// Behaviour of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Carries everything.
    Up,
    /// Ends every connection and refuses new ones.
    Cut(Ending),
    /// Takes connections, keeps them, and carries nothing either way.
    Silent,
    /// Carries everything, this much later.
    Slow(Duration),
}

impl Network {
    const fn is_cut(&self) -> bool {
        matches!(self, Self::Cut(_))
    }
}

/// A port of its own that leads to another one, for as long as it lives.
pub struct Proxy {
    address: SocketAddr,
    network: watch::Sender<Network>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// A network to `port` of this machine.
    pub fn to(port: u16) -> Self {
        // Never listens: it holds the port while a cut network does not listen either.
        let placeholder = socket();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        placeholder.bind(any).expect("a loopback port");
        let address = placeholder.local_addr().expect("a bound socket");
        let (network, state) = watch::channel(Network::Up);
        let listener = listen(address);
        let task = tokio::spawn(async move {
            let _placeholder = placeholder;
            serve(address, listener, port, state).await;
        });
        Self {
            address,
            network,
            task,
        }
    }

    /// The URL for clients of the nats-server behind it.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// From now on the network is like this.
    pub fn set(&self, network: Network) {
        self.network.send_replace(network);
    }

    /// A sender that does [`Proxy::set`] later.
    pub fn switch(&self) -> watch::Sender<Network> {
        self.network.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.network.send_replace(Network::Cut(Ending::Reset));
    }
}

fn socket() -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("a socket option");
    socket
}

fn listen(address: SocketAddr) -> TcpListener {
    let socket = socket();
    socket.bind(address).expect("the proxy's own port");
    socket.listen(64).expect("the proxy's own port")
}

async fn serve(
    address: SocketAddr,
    listener: TcpListener,
    port: u16,
    mut network: watch::Receiver<Network>,
) {
    let mut listener = Some(listener);
    loop {
        let cut = network.borrow_and_update().is_cut();
        if cut {
            // the system refuses whoever comes
            listener = None;
        }
        let listening = (!cut).then(|| listener.get_or_insert_with(|| listen(address)));
        let accepted = async {
            match listening {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = accepted => {
                if let Ok((client, _)) = accepted {
                    tokio::spawn(connection(client, port, network.clone()));
                }
            }
            changed = network.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

/// One connection, to its end.
async fn connection(mut client: TcpStream, port: u16, mut network: watch::Receiver<Network>) {
    let mut cut = network.clone();
    let _ = client.set_nodelay(true);
    let mut server = None;
    let ended = {
        let carried = async {
            let _ = network.wait_for(|state| *state != Network::Silent).await;
            let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else {
                return;
            };
            let _ = stream.set_nodelay(true);
            let (from_client, to_client) = client.split();
            let (from_server, to_server) = server.insert(stream).split();
            tokio::select! {
                () = carry(from_client, to_server, network.clone()) => {}
                () = carry(from_server, to_client, network.clone()) => {}
            }
        };
        tokio::select! {
            () = carried => None,
            cut = cut.wait_for(Network::is_cut) => cut.ok().map(|state| *state),
        }
    };
    if ended == Some(Network::Cut(Ending::Reset)) {
        let _ = client.set_zero_linger();
        if let Some(server) = &server {
            let _ = server.set_zero_linger();
        }
    }
}

/// Carries one direction until either side ends.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut network: watch::Receiver<Network>,
) {
    let (sender, mut on_the_way) = mpsc::channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
    let mut at_source = network.clone();
    let take_in = async move {
        loop {
            let mut piece = vec![0; PIECE];
            let Ok(length @ 1..) = from.read(&mut piece).await else {
                return;
            };
            piece.truncate(length);
            let late = match *at_source.borrow_and_update() {
                Network::Slow(by) => by,
                _ => Duration::ZERO,
            };
            if sender.send((Instant::now() + late, piece)).await.is_err() {
                return;
            }
        }
    };
    let hand_out = async move {
        while let Some((due, piece)) = on_the_way.recv().await {
            tokio::time::sleep_until(due).await;
            // what was taken in before a silence waits for its end with the rest
            let open = network
                .wait_for(|state| *state != Network::Silent)
                .await
                .is_ok();
            if !open || to.write_all(&piece).await.is_err() {
                return;
            }
        }
    };
    // the end of the source is told once everything before it was handed out
    tokio::join!(take_in, hand_out);
}
