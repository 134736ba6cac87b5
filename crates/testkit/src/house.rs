//! A port that opens and shuts: what a peer, an app and the small NATS server have in common.
//!
//! Shut means that connecting is refused and every connection is gone; the port stays ours in either state.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use crate::port::ReservedPort;
use crate::stage::{self, Crew, Hands};

#[derive(Debug)]
pub(crate) struct House {
    port: ReservedPort,
    crew: Mutex<Option<Crew>>,
}

impl House {
    pub(crate) fn new(port: ReservedPort) -> Self {
        Self { port, crew: Mutex::new(None) }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// Listens; each connection is served by a task of its own. Does nothing when open already.
    pub(crate) fn open<S, F>(&self, serve: S)
    where
        S: Fn(TcpStream, Hands) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let mut crew = self.crew.lock().expect("no holder panics");
        if crew.is_some() {
            return;
        }
        let listener = self.port.listen().unwrap_or_else(|e| panic!("can't listen on {}: {e}", self.port.addr()));
        let fresh = Crew::new();
        let (hands, serve) = (fresh.hands(), Arc::new(serve));
        fresh.spawn(async move {
            let listener = TcpListener::from_std(listener).expect("the listener fits this runtime");
            loop {
                match listener.accept().await {
                    Ok((tcp, _)) => {
                        let _ = tcp.set_nodelay(true);
                        hands.spawn(serve(tcp, hands.clone()));
                    }
                    // Out of descriptors: the connections that end give some back.
                    Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        });
        *crew = Some(fresh);
    }

    /// Closes the listener and every connection, and returns when that is done.
    pub(crate) fn shut(&self) {
        let crew = self.crew.lock().expect("no holder panics").take();
        if let Some(crew) = crew {
            crew.stop();
            if !stage::is_here() {
                self.port.wait_refused();
            }
        }
    }
}
