//! A small Routing API and the UAA beside it, with faults on command.
//!
//! The API speaks TLS and demands a client certificate, the UAA speaks TLS. Tokens are `token-1`, `token-2`, …; the API
//! takes the last one that was handed out and not revoked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_rustls::TlsAcceptor;

use crate::house::House;
use crate::pki::{Authority, Leaf};
use crate::port::ReservedPort;
use crate::tls::ServerTls;

/// The client that the UAA knows: name, secret, and the two as `Authorization` wants them.
pub const CLIENT: (&str, &str, &str) = ("gorouter", "s3cret", "Basic Z29yb3V0ZXI6czNjcmV0");

/// Both servers. Dropping it closes their ports and every connection.
#[derive(Debug)]
pub struct RoutingApi {
    api: House,
    uaa: House,
    tls: [ServerTls; 2],
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    list: Vec<u8>,
    lists: u64,
    tokens: u64,
    revoked: bool,
    expires_in: u64,
    api_status: u16,
    uaa_status: u16,
    streams: Vec<UnboundedSender<Vec<u8>>>,
}

/// What a request says.
struct Asked {
    path: String,
    authorization: String,
}

impl RoutingApi {
    /// The API shows `leaf` and demands a certificate of `clients`; the UAA shows `leaf` too.
    pub fn start(leaf: &Leaf, clients: &Authority) -> Self {
        let state = State {
            list: b"[]".to_vec(),
            lists: 0,
            tokens: 0,
            revoked: false,
            expires_in: 600,
            api_status: 200,
            uaa_status: 200,
            streams: Vec::new(),
        };
        let tls = [ServerTls::new(leaf).require_client(clients), ServerTls::new(leaf)];
        let house = || House::new(ReservedPort::new());
        let both = Self { api: house(), uaa: house(), tls, state: Arc::new(Mutex::new(state)) };
        both.revive();
        both
    }

    /// Where the API listens.
    pub fn addr(&self) -> SocketAddr {
        self.api.addr()
    }

    /// Where the UAA listens.
    pub fn uaa_addr(&self) -> SocketAddr {
        self.uaa.addr()
    }

    /// The routes that it lists from now on.
    pub fn list(&self, routes: &[Value]) {
        self.list_text(&json!(routes).to_string());
    }

    /// The same as it is.
    pub fn list_text(&self, text: &str) {
        self.state().list = text.into();
    }

    /// Tells every subscriber of a change: `Upsert` or `Delete`.
    pub fn event(&self, name: &str, route: &Value) {
        self.event_text(&format!("id: 1\nevent: {name}\ndata: {route}\n\n"));
    }

    /// The same as it is, byte by byte.
    pub fn event_text(&self, text: &str) {
        self.state().streams.retain(|stream| text.bytes().all(|byte| stream.send(vec![byte]).is_ok()));
    }

    /// Ends every stream of events.
    pub fn end_streams(&self) {
        self.state().streams.clear();
    }

    /// How many listen to events.
    pub fn listeners(&self) -> usize {
        self.state().streams.iter().filter(|stream| !stream.is_closed()).count()
    }

    /// How often the list was asked for with success.
    pub fn lists(&self) -> u64 {
        self.state().lists
    }

    /// How many tokens were handed out.
    pub fn tokens(&self) -> u64 {
        self.state().tokens
    }

    /// No token handed out so far is taken any more.
    pub fn revoke(&self) {
        self.state().revoked = true;
    }

    /// For how many seconds tokens are good, as the UAA says.
    pub fn expires_in(&self, seconds: u64) {
        self.state().expires_in = seconds;
    }

    /// What the API answers to everything: 200 for the truth.
    pub fn api_answers(&self, status: u16) {
        self.state().api_status = status;
    }

    /// The same for the UAA.
    pub fn uaa_answers(&self, status: u16) {
        self.state().uaa_status = status;
    }

    /// Closes both ports and every connection.
    pub fn die(&self) {
        self.api.shut();
        self.uaa.shut();
        self.end_streams();
    }

    /// Listens again.
    pub fn revive(&self) {
        for (house, tls, is_api) in [(&self.api, &self.tls[0], true), (&self.uaa, &self.tls[1], false)] {
            let (acceptor, state) = (TlsAcceptor::from(tls.config()), Arc::clone(&self.state));
            house.open(move |tcp, _| serve(tcp, acceptor.clone(), Arc::clone(&state), is_api));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }
}

/// One request, one answer.
async fn serve(tcp: TcpStream, acceptor: TlsAcceptor, state: Arc<Mutex<State>>, is_api: bool) {
    let Ok(stream) = acceptor.accept(tcp).await else { return };
    let mut stream = BufReader::new(stream);
    let Some(asked) = read(&mut stream).await else { return };
    let (status, body, events) = {
        let mut state = state.lock().expect("no holder panics");
        if is_api { state.answer(&asked) } else { state.token(&asked) }
    };
    let length = if events.is_some() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    let head = format!("HTTP/1.1 {status} Whatever\r\n{length}connection: close\r\n\r\n");
    if stream.write_all(&[head.as_bytes(), &body].concat()).await.is_ok() && stream.flush().await.is_ok() {
        if let Some(events) = events {
            pass_on(&mut stream, events).await;
        }
        let _ = stream.shutdown().await;
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin + AsyncBufReadExt)) -> Option<Asked> {
    let (mut asked, mut length) = (Asked { path: String::new(), authorization: String::new() }, 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok().filter(|size| *size > 0)?;
        let line = line.trim_end();
        if asked.path.is_empty() {
            asked.path = line.split(' ').nth(1)?.to_owned();
        } else if line.is_empty() {
            stream.read_exact(&mut vec![0; length]).await.ok()?;
            return Some(asked);
        } else if let Some((name, value)) = line.split_once(": ") {
            match name.to_ascii_lowercase().as_str() {
                "authorization" => asked.authorization = value.to_owned(),
                "content-length" => length = value.parse().ok()?,
                _ => {}
            }
        }
    }
}

async fn pass_on(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), mut events: UnboundedReceiver<Vec<u8>>) {
    let mut nothing = [0];
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            // A client says nothing more; what comes is its end.
            _ = stream.read(&mut nothing) => None,
        };
        let Some(event) = event else { return };
        if stream.write_all(&event).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

impl State {
    fn answer(&mut self, asked: &Asked) -> (u16, Vec<u8>, Option<UnboundedReceiver<Vec<u8>>>) {
        if self.api_status != 200 {
            return (self.api_status, Vec::new(), None);
        }
        if self.revoked || asked.authorization != format!("bearer token-{}", self.tokens) {
            return (401, Vec::new(), None);
        }
        match asked.path.as_str() {
            "/routing/v1/routes" => {
                self.lists += 1;
                (200, self.list.clone(), None)
            }
            "/routing/v1/events" => {
                let (sender, receiver) = unbounded_channel();
                self.streams.push(sender);
                (200, Vec::new(), Some(receiver))
            }
            _ => (404, Vec::new(), None),
        }
    }

    fn token(&mut self, asked: &Asked) -> (u16, Vec<u8>, Option<UnboundedReceiver<Vec<u8>>>) {
        let (.., login) = CLIENT;
        if self.uaa_status != 200 {
            return (self.uaa_status, Vec::new(), None);
        }
        if asked.path != "/oauth/token" || asked.authorization != login {
            return (401, br#"{"error":"unauthorized"}"#.to_vec(), None);
        }
        (self.tokens, self.revoked) = (self.tokens + 1, false);
        let token = json!({ "access_token": format!("token-{}", self.tokens), "token_type": "bearer",
            "expires_in": self.expires_in });
        (200, token.to_string().into_bytes(), None)
    }
}
