//! The NATS servers that every story here is told over, and a component that blocks its thread.
//!
//! Blocking is the point: the router of a story lives on the same thread, so whatever a component does
//! between two awaits happens before the router's next step.

use std::{
    io,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use trueroute_testkit::{bus::Bus, nats::Nats, real_nats::RealNats};

/// Longest wait for anything in a story.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// User and password that a server demands.
pub(crate) type Login<'a> = Option<(&'a str, &'a str)>;

/// A kind of NATS server.
pub(crate) trait Broker {
    /// Starts one; `None` where this kind is not to be had.
    fn start(login: Login) -> Option<Bus>;
}

/// A real nats-server.
pub(crate) struct RealServer;

/// The small server of the testkit.
pub(crate) struct SmallServer;

impl Broker for RealServer {
    fn start(login: Login) -> Option<Bus> {
        let server = match login {
            Some((user, pass)) => RealNats::start_with_login(user, pass),
            None => RealNats::start(),
        };
        if server.is_none() {
            eprintln!("skipped: no nats-server on PATH or in NATS_SERVER_BIN");
        }
        server.map(Bus::Real)
    }
}

impl Broker for SmallServer {
    fn start(login: Login) -> Option<Bus> {
        let server = Nats::builder();
        let server = login.into_iter().fold(server, |server, (user, pass)| server.login(user, pass));
        Some(Bus::Small(server.start()))
    }
}

/// A component on the bus.
pub(crate) struct Component {
    lines: BufReader<TcpStream>,
}

impl Component {
    /// Connects to the server at `addr`.
    pub(crate) fn connect(addr: SocketAddr, login: Login) -> Self {
        let socket = TcpStream::connect(addr).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut component = Self { lines: BufReader::new(socket) };
        let mut options = serde_json::json!({ "verbose": false, "pedantic": false });
        if let Some((user, pass)) = login {
            options["user"] = user.into();
            options["pass"] = pass.into();
        }
        assert!(component.line().starts_with("INFO"));
        component.say(format!("CONNECT {options}\r\n"));
        component.flush();
        component
    }

    /// Subscribes to `subject`.
    pub(crate) fn subscribe(&mut self, subject: &str) {
        self.say(format!("SUB {subject} 1\r\n"));
        self.flush();
    }

    /// Publishes and returns when the server has taken it.
    pub(crate) fn publish(&mut self, subject: impl AsRef<[u8]>, reply: &str, payload: &[u8]) {
        self.send(subject, reply, payload);
        self.flush();
    }

    /// Publishes.
    pub(crate) fn send(&mut self, subject: impl AsRef<[u8]>, reply: &str, payload: &[u8]) {
        let end = format!(" {reply} {}\r\n", payload.len());
        self.say([b"PUB ", subject.as_ref(), end.as_bytes(), payload, b"\r\n"].concat());
    }

    /// The payload of the next message, if one is there.
    pub(crate) fn heard(&mut self) -> Option<serde_json::Value> {
        self.heard_bytes().map(|payload| serde_json::from_slice(&payload).unwrap())
    }

    /// The same for a payload that need not be JSON.
    pub(crate) fn heard_bytes(&mut self) -> Option<Vec<u8>> {
        self.lines.get_ref().set_nonblocking(true).unwrap();
        let ready = self.lines.fill_buf().map(|buffer| !buffer.is_empty());
        self.lines.get_ref().set_nonblocking(false).unwrap();
        match ready {
            Ok(true) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            other => panic!("the server left: {other:?}"),
        }
        let line = self.line();
        if line.starts_with("PING") {
            self.say("PONG\r\n");
            return None;
        }
        if line.starts_with("INFO") {
            return None;
        }
        let size = line.trim_end().rsplit(' ').next().and_then(|size| size.parse::<usize>().ok());
        let mut payload = vec![0; size.unwrap_or_else(|| panic!("{line}")) + 2];
        self.lines.read_exact(&mut payload).unwrap();
        payload.truncate(payload.len() - 2);
        Some(payload)
    }

    fn flush(&mut self) {
        self.say("PING\r\n");
        loop {
            match self.line().as_str() {
                "PONG\r\n" => return,
                "PING\r\n" => self.say("PONG\r\n"),
                line if line.starts_with("INFO") => {}
                line => panic!("{line}"),
            }
        }
    }

    fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.lines.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line
    }
}
