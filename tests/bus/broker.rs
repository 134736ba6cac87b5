//! The NATS servers that every story here is told over, and a component that blocks its thread.
//!
//! Blocking is the point: the router of a story lives on the same thread, so whatever a component does
//! between two awaits happens before the router's next step.

use std::{
    env, io,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use trueroute_testkit::{ReservedPort, until};

/// Longest wait for anything in a story.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// User and password that a server demands.
pub type Login<'a> = Option<(&'a str, &'a str)>;

/// A NATS server that dies when dropped.
pub trait Broker: Sized {
    /// Listens on `port`; `None` where this kind of server is not to be had.
    fn start(port: &ReservedPort, login: Login) -> Option<Self>;
}

/// The nats-server named by NATS_SERVER_BIN, or the one on PATH.
pub struct RealServer(Child);

impl Broker for RealServer {
    fn start(port: &ReservedPort, login: Login) -> Option<Self> {
        let Some(binary) = binary() else {
            assert!(env::var_os("CI").is_none(), "no nats-server on PATH or in NATS_SERVER_BIN");
            eprintln!("skipped: no nats-server on PATH or in NATS_SERVER_BIN");
            return None;
        };
        let mut command = Command::new(binary);
        command.args(["--addr", "127.0.0.1", "--port", &port.port().to_string()]);
        if let Some((user, pass)) = login {
            command.args(["--user", user, "--pass", pass]);
        }
        let server = Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        until(PATIENCE, || TcpStream::connect(port.addr()).is_ok());
        Some(server)
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

fn binary() -> Option<PathBuf> {
    if let Some(named) = env::var_os("NATS_SERVER_BIN") {
        return Some(named.into());
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join("nats-server")).find(|file| file.is_file())
}

/// A component on the bus.
pub struct Component {
    lines: BufReader<TcpStream>,
}

impl Component {
    /// Connects to the server at `addr`.
    pub fn connect(addr: SocketAddr, login: Login) -> Self {
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
    pub fn subscribe(&mut self, subject: &str) {
        self.say(format!("SUB {subject} 1\r\n"));
        self.flush();
    }

    /// Publishes and returns when the server has taken it.
    pub fn publish(&mut self, subject: impl AsRef<[u8]>, reply: &str, payload: &[u8]) {
        self.send(subject, reply, payload);
        self.flush();
    }

    /// Publishes.
    pub fn send(&mut self, subject: impl AsRef<[u8]>, reply: &str, payload: &[u8]) {
        let end = format!(" {reply} {}\r\n", payload.len());
        self.say([b"PUB ", subject.as_ref(), end.as_bytes(), payload, b"\r\n"].concat());
    }

    /// The payload of the next message, if one is there.
    pub fn heard(&mut self) -> Option<serde_json::Value> {
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
        let size = line.trim_end().rsplit(' ').next().and_then(|size| size.parse::<usize>().ok());
        let mut payload = vec![0; size.unwrap_or_else(|| panic!("{line}")) + 2];
        self.lines.read_exact(&mut payload).unwrap();
        Some(serde_json::from_slice(&payload).unwrap())
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
