//! Exchanges over real sockets with an endpoint that is played by hand.

use std::{io, time::Duration};

use http::{HeaderMap, Method};
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use trueroute_identity::{Dialer, DialerSettings, Trust};

use super::*;
use crate::route::peer::Identity;

const PATIENCE: Duration = Duration::from_secs(10);
const LIMITS: Limits = Limits { total: 10, per_peer: 10 };

/// An endpoint that accepts by hand.
struct Endpoint {
    listener: TcpListener,
    peer: Peer,
}

impl Endpoint {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = Peer::new("127.0.0.1", listener.local_addr().unwrap().port(), Identity::Plain);
        Self { listener, peer }
    }

    async fn accept(&self) -> TcpStream {
        tokio::time::timeout(PATIENCE, self.listener.accept()).await.expect("somebody connects").unwrap().0
    }
}

fn upstream() -> Upstream {
    let dialer = Dialer::new(Trust::new(&[], false).unwrap(), None, DialerSettings::default()).unwrap();
    let times = DialTerms { dial: PATIENCE, probe_interval: None, barred: Arc::default() };
    Upstream::new(Arc::new(Dialers::new(Arc::new(dialer))), times, LIMITS)
}

fn terms() -> Terms {
    Terms { to_head: false, expects_continue: false, deadline: None, max_head: 1000, max_lines: 100, http2: false }
}

fn head<'a>(method: &'a Method, headers: &'a HeaderMap) -> RequestHead<'a> {
    RequestHead {
        method,
        target: "/",
        host: b"app.example",
        headers,
        added: &[],
        connection: request::Connection::Keep,
        announce_empty: false,
    }
}

async fn send<B>(upstream: &Upstream, peer: &Peer, method: Method, body: Replayable<B>, terms: Terms) -> Answered<B>
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
{
    let (replayable, fields) = (body.is_empty() && method == Method::GET, HeaderMap::new());
    let head = head(&method, &fields);
    let sent = upstream.send(peer, &head, body, &terms, replayable);
    match tokio::time::timeout(PATIENCE, sent).await.expect("an answer or a failure") {
        Ok((Reply::Response(head, body), facts)) => Ok((head, body, facts)),
        Ok((Reply::Switched(..), _)) => panic!("nobody asked for a switch"),
        Err(failed) => Err(failed.failure),
    }
}

type Answered<B> = Result<(Head, ReplyBody<B>, Facts), Failure>;

fn nothing() -> Replayable<Empty<Bytes>> {
    Replayable::new(Empty::new(), None)
}

/// Reads until `wanted` has come.
async fn hear(stream: &mut TcpStream, wanted: &str) -> String {
    let mut text = Vec::new();
    while !text.windows(wanted.len()).any(|part| part == wanted.as_bytes()) {
        let read = tokio::time::timeout(PATIENCE, stream.read_buf(&mut text)).await;
        assert_ne!(read.expect("more comes").unwrap(), 0, "{:?} ended early", String::from_utf8_lossy(&text));
    }
    String::from_utf8(text).unwrap()
}

/// Reads to the end of the connection.
async fn hear_out(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    // A reset is an end too.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut text)).await.expect("the connection ends");
    text
}

type Frames = mpsc::UnboundedSender<Result<Frame<Bytes>, io::Error>>;

/// A chunked body that a test feeds by hand. As with hyper's, what follows an error is an end.
fn fed() -> (Frames, Replayable<impl Body<Data = Bytes, Error = io::Error> + Unpin + Send + 'static>) {
    let (feed, mut frames) = mpsc::unbounded_channel();
    let stream = futures_util::stream::poll_fn(move |cx| frames.poll_recv(cx));
    (feed, Replayable::new(StreamBody::new(stream), None))
}

fn data(text: &'static str) -> Result<Frame<Bytes>, io::Error> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

fn broken_off() -> Result<Frame<Bytes>, io::Error> {
    Err(io::ErrorKind::ConnectionReset.into())
}

#[tokio::test]
async fn an_upload_that_broke_off_is_never_ended_as_if_it_were_whole() {
    let (endpoint, upstream) = (Endpoint::new().await, upstream());
    let (feed, body) = fed();
    feed.send(data("half")).unwrap();
    let play = async {
        let mut stream = endpoint.accept().await;
        hear(&mut stream, "half").await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n1").await.unwrap();
        stream
    };
    let (mut stream, answered) = tokio::join!(play, send(&upstream, &endpoint.peer, Method::POST, body, terms()));
    let (_, mut reply, _) = answered.unwrap();
    assert_eq!(reply.frame().await.unwrap().unwrap().into_data().unwrap(), "1");
    feed.send(broken_off()).unwrap();
    drop(feed);
    // The client's connection looks at the body again and again while the rest of the answer is on its way.
    for _ in 0..3 {
        assert!(futures_util::poll!(reply.frame()).is_pending());
    }
    stream.write_all(b"2").await.unwrap();
    assert_eq!(reply.frame().await.unwrap().unwrap().into_data().unwrap(), "2");
    assert!(upstream.home().is_empty(), "the connection is in the middle of a request");
    drop(reply);
    let rest = hear_out(&mut stream).await;
    assert!(!rest.contains("0\r\n\r\n"), "the endpoint was told that the body is whole: {rest:?}");
}

/// Lets the runtime learn of everything that has happened on its sockets so far.
async fn settle() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut there = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (mut here, _) = listener.accept().await.unwrap();
    there.write_all(b"x").await.unwrap();
    here.read_u8().await.unwrap();
}

/// Lets `upstream` have one exchange, so that it keeps one idle connection; that connection's far end.
async fn idle_connection(upstream: &Upstream, endpoint: &Endpoint) -> TcpStream {
    let play = async {
        let mut stream = endpoint.accept().await;
        hear(&mut stream, "\r\n\r\n").await;
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        stream
    };
    let (stream, answered) = tokio::join!(play, send(upstream, &endpoint.peer, Method::GET, nothing(), terms()));
    answered.unwrap();
    assert_eq!(upstream.home().len(), 1);
    stream
}

#[tokio::test]
async fn what_an_endpoint_says_between_two_requests_answers_neither() {
    let (endpoint, upstream) = (Endpoint::new().await, upstream());
    let mut first = idle_connection(&upstream, &endpoint).await;
    first.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray").await.unwrap();
    settle().await;
    let play = async {
        let mut second = endpoint.accept().await;
        hear(&mut second, "\r\n\r\n").await;
        second.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    };
    let ask = send(&upstream, &endpoint.peer, Method::GET, nothing(), terms());
    let answered = tokio::select! {
        biased;
        answered = ask => answered,
        () = async { play.await; std::future::pending().await } => unreachable!(),
    };
    assert_eq!(answered.unwrap().0.status, 202);
}

#[tokio::test]
async fn a_request_that_must_not_be_repeated_asks_the_system_about_the_connection() {
    let (endpoint, upstream) = (Endpoint::new().await, upstream());
    let first = idle_connection(&upstream, &endpoint).await.into_std().unwrap();
    // Written without a chance for the runtime to learn of it.
    io::Write::write_all(&mut &first, b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n").unwrap();
    let mut connection = upstream.home().take(&endpoint.peer, upstream.dialers.generation()).unwrap();
    assert!(!connection.stream.is_open_now());
}

#[tokio::test]
async fn a_body_that_the_endpoint_does_not_want_is_not_asked_of_the_client() {
    let (endpoint, upstream) = (Endpoint::new().await, upstream());
    let (feed, body) = fed();
    let play = async {
        let mut stream = endpoint.accept().await;
        hear(&mut stream, "\r\n\r\n").await;
        stream.write_all(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        stream
    };
    let terms = Terms { expects_continue: true, ..terms() };
    let (mut stream, answered) = tokio::join!(play, send(&upstream, &endpoint.peer, Method::POST, body, terms));
    assert_eq!(answered.unwrap().0.status, 417);
    assert!(feed.is_closed(), "somebody still waits for the body");
    assert_eq!(hear_out(&mut stream).await, "");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_however_it_comes() {
    let (endpoint, upstream) = (Endpoint::new().await, upstream());
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: {}\r\n\r\n", "x".repeat(1000));
    let play = async {
        let mut stream = endpoint.accept().await;
        hear(&mut stream, "\r\n\r\n").await;
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream
    };
    let (_stream, answered) = tokio::join!(play, send(&upstream, &endpoint.peer, Method::GET, nothing(), terms()));
    let failure = answered.err().expect("a failure");
    assert!(failure.to_string().contains("server response headers exceeded 1000 bytes; aborted"), "{failure}");
}

#[tokio::test]
async fn fields_that_a_trailer_must_not_hold_stay_behind() {
    let (endpoint, upstream) = (Endpoint::new().await, upstream());
    let (feed, body) = fed();
    let mut trailers = HeaderMap::new();
    for name in ["x-checksum", "content-length", "transfer-encoding", "host", "x-forwarded-for", "x-cf-instanceid"] {
        trailers.insert(name, http::HeaderValue::from_static("1"));
    }
    feed.send(Ok(Frame::trailers(trailers))).unwrap();
    let play = async {
        let mut stream = endpoint.accept().await;
        let heard = hear(&mut stream, "1\r\n\r\n").await;
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        heard
    };
    let (heard, answered) = tokio::join!(play, send(&upstream, &endpoint.peer, Method::POST, body, terms()));
    answered.unwrap();
    assert!(heard.ends_with("\r\n\r\n0\r\nX-Checksum: 1\r\n\r\n"), "{heard:?}");
}
