//! A NATS client that writes the protocol's lines itself: what a test sends is what the server sees.
//!
//! It runs on the caller's runtime; reads give up after ten seconds.

use std::io;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::wire::Wire;

const PATIENCE: Duration = Duration::from_secs(10);

/// A message that came for a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The subject it was published to.
    pub subject: String,
    /// Which subscription it is for.
    pub sid: u64,
    /// Where an answer goes.
    pub reply: Option<String>,
    /// What it says.
    pub payload: Vec<u8>,
}

/// One connection to a NATS server.
#[derive(Debug)]
pub struct NatsWire {
    wire: Wire<TcpStream>,
    greeting: String,
    last_sid: u64,
}

/// Publishes one message and returns when the server has taken it. `url` is `nats://[user:password@]host:port`.
pub async fn nats_publish(url: &str, subject: &str, payload: impl AsRef<[u8]>) -> io::Result<()> {
    let mut wire = NatsWire::connect(url).await?;
    wire.publish(subject, payload).await?;
    wire.flush().await
}

impl NatsWire {
    /// Connects, reads INFO, sends CONNECT with what the URL says, and waits for PONG; a refusal is `PermissionDenied`.
    pub async fn connect(url: &str) -> io::Result<Self> {
        let rest = url.strip_prefix("nats://").unwrap_or(url);
        let (login, addr) = rest.rsplit_once('@').map_or((None, rest), |(login, addr)| (Some(login), addr));
        let mut options = serde_json::json!({ "verbose": false, "pedantic": false, "lang": "test", "version": "1" });
        if let Some((user, password)) = login.and_then(|login| login.split_once(':')) {
            options["user"] = user.into();
            options["pass"] = password.into();
        }
        let mut nats = Self::connect_mute(addr).await?;
        nats.say(&format!("CONNECT {options}\r\n")).await?;
        nats.flush().await?;
        Ok(nats)
    }

    /// Connects to `host:port` and reads INFO only.
    pub async fn connect_mute(addr: &str) -> io::Result<Self> {
        let mut wire = Wire::new(TcpStream::connect(addr).await?);
        wire.io.set_nodelay(true)?;
        let line = in_time(wire.line()).await?;
        let greeting = String::from_utf8_lossy(&line).trim_end().to_owned();
        Ok(Self { wire, greeting, last_sid: 0 })
    }

    /// The INFO line.
    pub fn greeting(&self) -> &str {
        &self.greeting
    }

    /// Writes these bytes.
    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.wire.io.write_all(bytes.as_ref()).await
    }

    /// Sends PUB.
    pub async fn publish(&mut self, subject: &str, payload: impl AsRef<[u8]>) -> io::Result<()> {
        let payload = payload.as_ref();
        let line = format!("PUB {subject} {}\r\n", payload.len());
        self.say([line.as_bytes(), payload, b"\r\n"].concat()).await
    }

    /// Sends PUB with a subject for answers.
    pub async fn publish_asking(&mut self, subject: &str, reply: &str, payload: impl AsRef<[u8]>) -> io::Result<()> {
        let payload = payload.as_ref();
        let line = format!("PUB {subject} {reply} {}\r\n", payload.len());
        self.say([line.as_bytes(), payload, b"\r\n"].concat()).await
    }

    /// Sends SUB and returns the subscription's number.
    pub async fn subscribe(&mut self, subject: &str) -> io::Result<u64> {
        self.subscribe_in(subject, "").await
    }

    /// Sends SUB as a member of a queue group.
    pub async fn subscribe_in(&mut self, subject: &str, group: &str) -> io::Result<u64> {
        self.last_sid += 1;
        let sid = self.last_sid;
        self.say(format!("SUB {subject} {group} {sid}\r\n")).await?;
        Ok(sid)
    }

    /// Sends UNSUB, after `max` messages if given.
    pub async fn unsubscribe(&mut self, sid: u64, max: Option<u64>) -> io::Result<()> {
        let max = max.map(|max| format!(" {max}")).unwrap_or_default();
        self.say(format!("UNSUB {sid}{max}\r\n")).await
    }

    /// Sends PING and waits for PONG. Messages that come before it are dropped; -ERR is `PermissionDenied`.
    pub async fn flush(&mut self) -> io::Result<()> {
        self.say("PING\r\n").await?;
        loop {
            let line = self.line().await?;
            if line == "PONG" {
                return Ok(());
            } else if line.starts_with("-ERR") {
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, line));
            } else if line.starts_with("MSG ") {
                self.payload_of(&line).await?;
            }
        }
    }

    /// The next message; PING is answered, +OK, PONG and INFO are passed over, -ERR is `PermissionDenied`.
    pub async fn next(&mut self) -> io::Result<Message> {
        loop {
            let line = self.line().await?;
            if line.starts_with("MSG ") {
                return self.payload_of(&line).await;
            } else if line.starts_with("-ERR") {
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, line));
            } else if line == "PING" {
                self.say("PONG\r\n").await?;
            }
        }
    }

    /// The next line without its end; `UnexpectedEof` when the server closes, `TimedOut` after ten seconds.
    pub async fn line(&mut self) -> io::Result<String> {
        let line = in_time(self.wire.line()).await?;
        self.wire.remembered();
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    async fn payload_of(&mut self, line: &str) -> io::Result<Message> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, line.to_owned());
        let (reply, size) = match words[..] {
            [_, _, _, size] => (None, size),
            [_, _, _, reply, size] => (Some(reply.to_owned()), size),
            _ => return Err(wrong()),
        };
        let (sid, size) = (words[2].parse().map_err(|_| wrong())?, size.parse().map_err(|_| wrong())?);
        let mut payload = Vec::new();
        in_time(self.wire.exactly(size, &mut |piece| payload.extend_from_slice(piece))).await?;
        in_time(self.wire.line()).await?;
        self.wire.remembered();
        Ok(Message { subject: words[1].to_owned(), sid, reply, payload })
    }
}

async fn in_time<T>(step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(PATIENCE, step).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
