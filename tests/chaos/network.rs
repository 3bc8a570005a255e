//! The network between one worker and the server: it can be cut, silent and slow.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{Notify, watch};

/// How long a packet takes through a slow network.
const SLOWLY: Duration = Duration::from_millis(20);

/// How packets come through.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Passage {
    Free,
    Slow,
    Closed,
}

/// A listener on this host whose connections lead to a server's socket.
pub struct Network {
    pub port: u16,
    passage: watch::Sender<Passage>,
    cut: Arc<Notify>,
}

impl Network {
    /// To a socket in the file system.
    pub async fn to(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let passage = watch::Sender::new(Passage::Free);
        let cut = Arc::new(Notify::new());
        let (of_connections, ends) = (passage.subscribe(), Arc::clone(&cut));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (socket, passage) = (socket.clone(), of_connections.clone());
                let ends = Arc::clone(&ends);
                tokio::spawn(async move {
                    tokio::select! {
                        () = carry(client, socket, passage) => {}
                        () = ends.notified() => {}
                    }
                });
            }
        });
        Self { port, passage, cut }
    }

    /// Cuts all connections that there are.
    pub fn cut(&self) {
        self.cut.notify_waiters();
    }

    /// Lets nothing through for a time, and then everything that was sent meanwhile.
    pub async fn be_silent(&self, time: Duration) {
        self.pass_for(Passage::Closed, time).await;
    }

    /// Lets everything through, but slowly, for a time.
    pub async fn be_slow(&self, time: Duration) {
        self.pass_for(Passage::Slow, time).await;
    }

    async fn pass_for(&self, passage: Passage, time: Duration) {
        self.passage.send_replace(passage);
        tokio::time::sleep(time).await;
        self.passage.send_replace(Passage::Free);
    }
}

/// Carries both directions until one of them ends.
async fn carry(client: TcpStream, socket: PathBuf, passage: watch::Receiver<Passage>) {
    // Small answers would else wait for each other's receipt, 40 ms each.
    let _ = client.set_nodelay(true);
    // A server that is away: the client sees its connection end.
    let Ok(server) = UnixStream::connect(socket).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = carry_one_way(from_client, to_server, passage.clone()) => {}
        () = carry_one_way(from_server, to_client, passage) => {}
    }
}

async fn carry_one_way(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut passage: watch::Receiver<Passage>,
) {
    let mut packet = [0; 8192];
    while let Ok(length @ 1..) = from.read(&mut packet).await {
        let Ok(how) = passage.wait_for(|passage| *passage != Passage::Closed).await.map(|p| *p)
        else {
            return;
        };
        if how == Passage::Slow {
            tokio::time::sleep(SLOWLY).await;
        }
        if to.write_all(&packet[..length]).await.is_err() {
            return;
        }
    }
}
