//! What clients are told about route services (gorouter.md section 8).

use super::{Answer, Failure};
use crate::route_service::SignatureError;

impl Failure {
    /// What the client is told about a route service (gorouter.md section 8).
    pub(super) fn service_answer(&self) -> Answer {
        let (status, router_error, body) = match self {
            Self::RouteServiceTunnel => {
                (503, Some("route_service_unsupported"), format!("503 Service Unavailable: {self}"))
            }
            Self::Signature(why) => {
                let failed = format!("Failed to validate Route Service Signature: {why}");
                match why {
                    SignatureError::Expired => (504, None, format!("504 Gateway Timeout: {failed}")),
                    _ => (502, None, format!("502 Bad Gateway: {failed}")),
                }
            }
            Self::StraySignature(SignatureError::Expired) => (
                504,
                Some("expired_route_service_signature"),
                "504 Gateway Timeout: expired route service signature detected".into(),
            ),
            Self::StraySignature(_) => (
                400,
                Some("invalid_route_service_signature"),
                "400 Bad Request: invalid route service signature detected".into(),
            ),
            Self::RouteServiceUrl => (500, None, format!("500 Internal Server Error: {self}")),
            Self::NoAttempt => {
                (502, Some("unknown_failure"), "502 Bad Gateway: Endpoint failed to handle the request.".into())
            }
            _ => (502, Some("route_service_unsupported"), format!("502 Bad Gateway: {self}")),
        };
        Answer {
            status,
            router_error: router_error.map(Into::into),
            cache_control: None,
            body: Some(body),
            has_page: !matches!(self, Self::NoAttempt),
        }
    }
}
