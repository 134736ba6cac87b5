//! A client of any kind, in the same words.

use std::net::SocketAddr;

use trueroute_testkit::{Client, client::Response, tls::ClientTls};

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: &'static str,
    pub(crate) host: &'static str,
    pub(crate) path: String,
    pub(crate) fields: Vec<(&'static str, String)>,
    pub(crate) body: Body,
}

/// Its body.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    None,
    /// So many bytes, of a length that is told first.
    Length(usize),
    /// So many bytes in pieces, of a length that nobody tells, and trailers.
    Pieces(usize, Vec<(&'static str, &'static str)>),
}

/// What came of it. Names are in lower case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
}

/// One connection of a client.
pub(crate) enum Asker {
    Http1(Box<Client>),
}

/// An exchange that is not over.
pub(crate) enum UnderWay {
    Http1(Box<Client>),
}

/// How a client goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Exit {
    /// In order.
    Closes,
    /// Without order.
    Resets,
}

/// How much of a body goes out at a time.
const PIECE: usize = 16 * 1024;

impl Ask {
    pub(crate) fn new(method: &'static str, host: &'static str, path: &str) -> Self {
        Self { method, host, path: path.to_owned(), fields: Vec::new(), body: Body::None }
    }

    pub(crate) fn field(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    pub(crate) fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// The head as HTTP/1.1 has it.
    pub(crate) fn head(&self) -> String {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method, self.path, self.host);
        for (name, value) in &self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        match &self.body {
            Body::None => {}
            Body::Length(length) => head.push_str(&format!("Content-Length: {length}\r\n")),
            Body::Pieces(_, trailers) => {
                head.push_str("Transfer-Encoding: chunked\r\n");
                for (name, _) in trailers {
                    head.push_str(&format!("Trailer: {name}\r\n"));
                }
            }
        }
        head + "\r\n"
    }
}

impl Answer {
    /// The first value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| &**value)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.text()))
    }
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        let lower = |fields: Vec<(String, String)>| {
            fields.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect()
        };
        Self {
            status: response.status,
            fields: lower(response.headers),
            body: response.body,
            trailers: lower(response.trailers),
        }
    }
}

impl Asker {
    pub(crate) async fn http1(address: SocketAddr, tls: Option<&ClientTls>) -> Self {
        let client = match tls {
            None => Client::connect(address).await,
            Some(tls) => Client::connect_tls(address, tls).await,
        };
        Self::Http1(Box::new(client.expect("the router takes connections").patience(super::support::PATIENCE)))
    }

    /// A whole exchange; the answer is read while the body is still going out.
    pub(crate) async fn ask(&mut self, ask: &Ask) -> Answer {
        match self {
            Self::Http1(client) => {
                let Client { reader, writer, .. } = &mut **client;
                let sending = async {
                    writer.send(ask.head()).await?;
                    match &ask.body {
                        Body::None => Ok(()),
                        Body::Length(length) => writer.fill(*length as u64).await,
                        Body::Pieces(length, trailers) => {
                            let mut left = *length;
                            while left > 0 {
                                let now = left.min(PIECE);
                                writer.send(format!("{now:x}\r\n{}\r\n", "x".repeat(now))).await?;
                                left -= now;
                            }
                            let trailers: String =
                                trailers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                            writer.send(format!("0\r\n{trailers}\r\n")).await
                        }
                    }
                };
                let (answer, _) = tokio::join!(reader.response(ask.method), sending);
                answer.unwrap_or_else(|error| panic!("{error} instead of an answer to {ask:?}")).into()
            }
        }
    }

    /// Sends the head and so many bytes of the body.
    pub(crate) async fn begin(self, ask: &Ask, part: usize) -> UnderWay {
        match self {
            Self::Http1(mut client) => {
                client.send_raw(ask.head()).await.expect("the router takes a head");
                let body = "x".repeat(part);
                let piece = match ask.body {
                    Body::Pieces(..) if part > 0 => format!("{part:x}\r\n{body}\r\n"),
                    _ => body,
                };
                client.send_raw(piece).await.expect("the router takes a part of a body");
                UnderWay::Http1(client)
            }
        }
    }

    /// Comes, and says nothing that is whole.
    pub(crate) async fn half_a_head(self) -> UnderWay {
        match self {
            Self::Http1(mut client) => {
                client.send_raw("GET / HT").await.expect("the router takes bytes");
                UnderWay::Http1(client)
            }
        }
    }
}

impl UnderWay {
    /// The status of the answer, whose body is left to come.
    pub(crate) async fn status(&mut self) -> u16 {
        match self {
            Self::Http1(client) => client.reader.head().await.expect("an answer begins").status,
        }
    }

    /// Sends bytes as they are, into a body of known length or a tunnel.
    pub(crate) async fn send(&mut self, bytes: &str) {
        match self {
            Self::Http1(client) => client.send_raw(bytes).await.expect("the router takes more"),
        }
    }

    /// Reads until these bytes have come by; they must come in one piece.
    pub(crate) async fn until(&mut self, needle: &str) {
        loop {
            let piece = match self {
                Self::Http1(client) => client.reader.some().await.expect("more comes"),
            };
            assert!(!piece.is_empty(), "the end came before {needle:?}");
            if String::from_utf8_lossy(&piece).contains(needle) {
                return;
            }
        }
    }

    /// Goes.
    pub(crate) async fn leave(self, exit: Exit) {
        match (self, exit) {
            (Self::Http1(client), Exit::Closes) => drop(client),
            (Self::Http1(client), Exit::Resets) => client.reset(),
        }
    }
}
