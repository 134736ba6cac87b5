//! A client of any kind, in the same words.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use trueroute_testkit::{
    Client,
    client::Response,
    client_h2::{self, Call, Reason, RecvStream, SendStream, data, rest, send_data},
    tls::ClientTls,
};

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
    Http2(client_h2::Client),
}

/// An exchange that is not over.
pub(crate) enum UnderWay {
    Http1(Box<Client>),
    Http2(client_h2::Client, Box<Stream>),
}

/// How far a stream has come.
pub(crate) enum Stream {
    /// There is none yet.
    None,
    /// The answer is waited for.
    Asked(Call),
    /// The answer is coming.
    Answered(RecvStream, SendStream<Bytes>),
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

    /// The head as HTTP/2 has it.
    fn parts(&self) -> Request<()> {
        let mut request = client_h2::request(self.method, self.host, &self.path);
        for (name, value) in &self.fields {
            request.headers_mut().append(*name, value.parse().expect("a field's value"));
        }
        match &self.body {
            Body::None => {}
            Body::Length(length) => drop(request.headers_mut().insert("content-length", (*length).into())),
            Body::Pieces(_, trailers) => {
                for (name, _) in trailers {
                    request.headers_mut().append("trailer", HeaderValue::from_static(name));
                }
            }
        }
        request
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

fn fields(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let field =
        |(name, value): &(&'static str, &'static str)| (HeaderName::from_static(name), HeaderValue::from_static(value));
    fields.iter().map(field).collect()
}

impl Asker {
    pub(crate) async fn http2(address: SocketAddr, tls: &ClientTls) -> Self {
        Self::Http2(client_h2::Client::connect(address, tls).await.expect("the router speaks HTTP/2"))
    }

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
            Self::Http2(client) => {
                let Call { response, mut body } =
                    client.start(ask.parts(), matches!(ask.body, Body::None)).await.expect("a stream");
                let sending = async {
                    let (length, trailers) = match &ask.body {
                        Body::None => return Ok(()),
                        Body::Length(length) => (*length, &[][..]),
                        Body::Pieces(length, trailers) => (*length, &trailers[..]),
                    };
                    let mut left = length;
                    while left > 0 {
                        let now = left.min(PIECE);
                        left -= now;
                        let is_last = left == 0 && trailers.is_empty();
                        send_data(&mut body, vec![b'x'; now].into(), is_last).await?;
                    }
                    if trailers.is_empty() { Ok(()) } else { body.send_trailers(fields(trailers)) }
                };
                let answering = async {
                    let (head, mut incoming) = response.await?.into_parts();
                    Ok::<_, client_h2::Error>((head, rest(&mut incoming).await?))
                };
                let (answer, _) = tokio::join!(answering, sending);
                let (head, (body, trailers)) =
                    answer.unwrap_or_else(|error| panic!("{error} instead of an answer to {ask:?}"));
                let named = |fields: HeaderMap| {
                    let text = |value: &HeaderValue| value.to_str().expect("text").to_owned();
                    fields.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
                };
                Answer {
                    status: head.status.as_u16(),
                    fields: named(head.headers),
                    body,
                    trailers: named(trailers.unwrap_or_default()),
                }
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
            Self::Http2(client) => {
                let mut call = client.start(ask.parts(), matches!(ask.body, Body::None)).await.expect("a stream");
                if part > 0 {
                    send_data(&mut call.body, vec![b'x'; part].into(), false).await.expect("room for a part");
                }
                UnderWay::Http2(client, Box::new(Stream::Asked(call)))
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
            Self::Http2(client) => UnderWay::Http2(client, Box::new(Stream::None)),
        }
    }
}

impl UnderWay {
    /// The status of the answer, whose body is left to come.
    pub(crate) async fn status(&mut self) -> u16 {
        match self {
            Self::Http1(client) => client.reader.head().await.expect("an answer begins").status,
            Self::Http2(_, stream) => {
                let Stream::Asked(Call { response, body }) = std::mem::replace(&mut **stream, Stream::None) else {
                    panic!("nothing was asked")
                };
                let (head, incoming) = response.await.expect("an answer begins").into_parts();
                **stream = Stream::Answered(incoming, body);
                head.status.as_u16()
            }
        }
    }

    /// Sends bytes as they are, into a body of known length or a tunnel.
    pub(crate) async fn send(&mut self, bytes: &str) {
        match self {
            Self::Http1(client) => client.send_raw(bytes).await.expect("the router takes more"),
            Self::Http2(..) => panic!("streams are no tunnels"),
        }
    }

    /// Reads until these bytes have come by; they must come in one piece.
    pub(crate) async fn until(&mut self, needle: &str) {
        loop {
            let piece = match self {
                Self::Http1(client) => client.reader.some().await.expect("more comes"),
                Self::Http2(_, stream) => {
                    let Stream::Answered(incoming, _) = &mut **stream else { panic!("no answer is coming") };
                    data(incoming).await.expect("more comes").unwrap_or_default().to_vec()
                }
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
            // The stream is given up, and after it the connection.
            (Self::Http2(client, stream), Exit::Closes) => {
                if let Stream::Asked(Call { mut body, .. }) | Stream::Answered(_, mut body) = *stream {
                    body.send_reset(Reason::CANCEL);
                }
                drop(client);
            }
            (Self::Http2(client, _), Exit::Resets) => client.cut().await,
        }
    }
}
