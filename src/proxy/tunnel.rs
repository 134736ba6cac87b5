//! After a switch of protocols: bytes both ways until both sides have ended.

use bytes::BytesMut;
use http::{HeaderValue, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;

use super::{body::ClientBody, reply};
use crate::{
    failure::Failure,
    lifecycle::DrainToken,
    observe::{exchange::Exchange, metrics::Tally},
    upstream::{response::Head, stream::Stream},
};

/// Answers 101 and joins the two streams as soon as the client's connection is free.
///
/// Only a switch that the client asked for, to the protocol that it asked for, is one: on any other the
/// client's further bytes would be taken for a tunnel's that are another request (engineering.md B3, 4).
///
/// # Errors
/// The endpoint switched unasked, or to something else; the exchange is given back.
pub fn open(
    head: Head,
    stream: Stream,
    early: BytesMut,
    switch: Option<OnUpgrade>,
    wants: Option<&HeaderValue>,
    mut exchange: Box<Exchange>,
    token: DrainToken,
) -> Result<Response<ClientBody>, (Failure, Box<Exchange>)> {
    let agreed = match (wants, &head.upgrade) {
        (Some(asked), Some(given)) => asked.as_bytes().eq_ignore_ascii_case(given.as_bytes()),
        _ => false,
    };
    let (true, Some(switch), Some(protocol)) = (agreed, switch, head.upgrade) else {
        return Err((Failure::Switched, exchange));
    };
    if wants.is_some_and(is_websocket) {
        exchange.shard().count(Tally::WebsocketUpgrade);
    }
    exchange.answer(StatusCode::SWITCHING_PROTOCOLS.as_u16());
    let mut response = Response::new(ClientBody::own(bytes::Bytes::new(), None));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = head.headers;
    reply::name_request(response.headers_mut(), &exchange);
    response.headers_mut().insert(http::header::UPGRADE, protocol);
    response.headers_mut().insert(http::header::CONNECTION, HeaderValue::from_static("Upgrade"));
    tokio::spawn(run(switch, stream, early, exchange, token));
    Ok(response)
}

/// Whether this is the protocol whose upgrades are counted.
pub fn is_websocket(protocol: &HeaderValue) -> bool {
    protocol.as_bytes().eq_ignore_ascii_case(b"websocket")
}

async fn run(switch: OnUpgrade, mut stream: Stream, early: BytesMut, exchange: Box<Exchange>, token: DrainToken) {
    // The client left before it had the 101: there is nobody to tell.
    let Ok(client) = switch.await else { return };
    let mut client = TokioIo::new(client);
    let joined = async {
        client.write_all(&early).await?;
        drop(early);
        tokio::io::copy_bidirectional(&mut client, &mut stream).await
    };
    if let Err(error) = joined.await {
        tracing::debug!(target: "proxy", %error, "tunnel-ended");
    }
    drop(exchange);
    drop(token);
}
