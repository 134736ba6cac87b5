//! The pages that operators look in by, in Envoy's paths and shapes (sidecar.md §5).
//!
//! The app shares the address with us and may ask anything, so a request costs little, waits for nobody, and changes
//! something only by POST and only where that is not switched off. Promises: no key leaves by any page; a request that
//! is broken, slow or large ends its own connection and nothing else.

use std::{fs, io, net::SocketAddr, os::unix::fs::FileTypeExt, path::Path, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, UnixListener, UnixStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::task::TaskTracker;

mod certs;
mod clusters;
mod dump;
mod figures;
mod house;
mod http;
mod logging;
mod pages;
mod runtime;
mod settings_document;

pub(crate) use house::{Controls, Flat, House, Started};
use http::{Answer, Request};

use crate::settings::AdminAddress;

/// Connections at a time; more wait in the kernel's queue.
const MOST: usize = 16;

/// A request must pass within this time, and its answer too.
const PATIENCE: Duration = Duration::from_secs(10);

/// After an answer, how long the other side may take to close.
const LINGER: Duration = Duration::from_millis(200);

/// A door for operators, bound.
#[derive(Debug)]
pub(crate) enum Door {
    /// On a TCP port.
    Tcp(TcpListener),
    /// On a Unix socket.
    Socket(UnixListener),
}

impl Door {
    /// Opens the door at `address`. A socket that a process left behind is replaced.
    pub(crate) async fn open(address: &AdminAddress) -> io::Result<Self> {
        match address {
            AdminAddress::Tcp(address) => TcpListener::bind(address).await.map(Self::Tcp),
            AdminAddress::Socket(path) => {
                remove_stale(path).await?;
                UnixListener::bind(path).map(Self::Socket)
            }
        }
    }

    /// The port, where it has one.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Socket(_) => None,
        }
    }

    /// Answers for ever.
    pub(crate) async fn serve(self, house: Arc<House>) {
        let (places, visitors) = (Arc::new(Semaphore::new(MOST)), TaskTracker::new());
        loop {
            // Never closed, so never an error.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let house = Arc::clone(&house);
            let visit = match &self {
                Self::Tcp(listener) => listener.accept().await.map(|(stream, _)| {
                    let _ = stream.set_nodelay(true);
                    visitors.spawn(async move {
                        let _place = place;
                        visit(stream, &house).await;
                    })
                }),
                Self::Socket(listener) => listener.accept().await.map(|(stream, _)| {
                    visitors.spawn(async move {
                        let _place = place;
                        visit(stream, &house).await;
                    })
                }),
            };
            if visit.is_err() {
                // Without descriptors an immediate retry fails again.
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        // Whoever answers there is alive, and would never know why nobody asks any more.
        Ok(found) if found.file_type().is_socket() => match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
            _ => Err(io::Error::new(io::ErrorKind::AddrInUse, "a process listens there")),
        },
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is something that is no socket")),
        Err(_) => Ok(()),
    }
}

/// One connection, one request.
async fn visit(mut stream: impl AsyncRead + AsyncWrite + Unpin, house: &House) {
    let (answer, is_head) = match timeout(PATIENCE, Request::read(&mut stream)).await {
        Ok(Ok(Some(request))) => (pages::answer(house, &request), request.method == "HEAD"),
        Ok(Err(refusal)) => (refusal, false),
        Ok(Ok(None)) | Err(_) => return,
    };
    // Whoever asks for a change and closes at once has asked for it all the same.
    let _ = timeout(PATIENCE, tell(&mut stream, &answer, is_head)).await;
    if let Some(then) = answer.then {
        house.controls.follow(then);
    }
}

async fn tell(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), answer: &Answer, is_head: bool) -> io::Result<()> {
    stream.write_all(&answer.head()).await?;
    if !is_head {
        stream.write_all(answer.body.as_bytes()).await?;
    }
    stream.shutdown().await?;
    // What was sent and not read would turn the close into a reset, and the answer into nothing.
    let _ = timeout(LINGER, tokio::io::copy(stream, &mut tokio::io::sink())).await;
    Ok(())
}
