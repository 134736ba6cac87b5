//! The labels and names under which things are counted one by one: each an enum whose numbers are cells.

/// Declares an enum whose variants are cells in a row, each with the name under which it is shown.
macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident => $shown:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// Every variant, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name in the metrics page.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $shown,)+ }
            }
        }
    };
}

numbered! {
    /// What a worker counts one by one, without a label.
    Tally {
        /// A failure answered with the general 502 (§6).
        BadGateway => "bad_gateways",
        /// A request refused with 400 or 404 before an endpoint was chosen (§7.3).
        RejectedRequest => "rejected_requests",
        /// Every endpoint of the pool was at its connection limit.
        BackendExhausted => "backend_exhausted_conns",
        /// An endpoint showed a certificate of another name.
        BackendInvalidId => "backend_invalid_id",
        /// An endpoint's certificate is untrusted, expired or otherwise unverifiable.
        BackendInvalidTlsCert => "backend_invalid_tls_cert",
        /// An endpoint does not speak TLS, or refused the handshake.
        BackendTlsHandshakeFailed => "backend_tls_handshake_failed",
        /// A request came with an empty Content-Length.
        EmptyContentLengthHeader => "empty_content_length_header",
        /// A request became a WebSocket tunnel.
        WebsocketUpgrade => "websocket_upgrades",
        /// A WebSocket request did not become a tunnel.
        WebsocketFailure => "websocket_failures",
        /// A connection to an endpoint was established, handshake included.
        UpstreamOpened => "trueroute_upstream_connections_opened_total",
        /// A request went out on a connection that had served another one.
        UpstreamReused => "trueroute_upstream_connections_reused_total",
        /// The gate refused a request that the parser let through.
        GateRefused => "trueroute_gate_refused_total",
        /// A panic was caught at the edge of one exchange.
        Panic => "trueroute_panics_total",
    }
}

numbered! {
    /// Why an attempt was followed by another one.
    Retry {
        /// The TCP connection was refused or failed.
        Dial => "dial",
        /// The TCP connection took too long.
        DialTimeout => "dial_timeout",
        /// The peer does not speak TLS.
        NotTls => "not_tls",
        /// The peer proved another name.
        WrongIdentity => "wrong_identity",
        /// The peer's certificate could not be verified.
        Untrusted => "untrusted",
        /// The peer refused our certificate.
        CertificateRefused => "certificate_refused",
        /// The handshake failed otherwise.
        Handshake => "handshake",
        /// The handshake took too long.
        HandshakeTimeout => "handshake_timeout",
        /// The connection ended before an answer to a request that may be repeated.
        Eof => "eof",
        /// The request had not been written.
        Unsent => "unsent",
    }
}

numbered! {
    /// Why a peer was not given the request although the table named it.
    Prevented {
        /// It proved another name: the address belongs to another instance now.
        WrongIdentity => "wrong_identity",
        /// It could not prove any name to our trust.
        Untrusted => "untrusted",
        /// It does not speak TLS where proof was due.
        NotTls => "not_tls",
    }
}

numbered! {
    /// How a TLS handshake with an endpoint ended.
    EndpointHandshake {
        /// The endpoint proved its name. Sessions with endpoints are never resumed.
        Full => "full",
        /// It does not speak TLS.
        NotTls => "not_tls",
        /// It proved another name.
        WrongIdentity => "wrong_identity",
        /// Its certificate could not be verified.
        Untrusted => "untrusted",
        /// It refused our certificate; in TLS 1.3 it does so after the handshake, which counts as full as well.
        CertificateRefused => "certificate_refused",
        /// It closed or reset the connection.
        Gone => "gone",
        /// It took too long.
        Timeout => "timeout",
        /// It failed otherwise.
        Failed => "failed",
    }
}

numbered! {
    /// How a TLS handshake with a client ended.
    ClientHandshake {
        /// A new session.
        Full => "full",
        /// The session of an earlier connection was taken up.
        Resumed => "resumed",
        /// The client spoke plain HTTP.
        PlainHttp => "plain_http",
        /// The client's certificate is missing or does not do.
        CertificateRefused => "certificate_refused",
        /// The client ended it with an alert: it does not trust us, for example.
        Alert => "alert",
        /// Versions, suites or protocols have nothing in common.
        Incompatible => "incompatible",
        /// The client closed or reset the connection.
        Gone => "gone",
        /// The client took too long.
        Timeout => "timeout",
        /// What came is no handshake.
        Failed => "failed",
    }
}

numbered! {
    /// Why an endpoint left a route without an unregistration.
    Pruned {
        /// Nothing was heard of it for too long.
        Stale => "stale",
        /// An attempt showed that it is gone or somebody else.
        Failed => "failed",
        /// It came from the snapshot, and nobody confirmed it.
        Unconfirmed => "unconfirmed",
    }
}

numbered! {
    /// What a registration did to the table (§4).
    RegistryAction {
        /// A new endpoint.
        Added => "added",
        /// A known address with other facts.
        Updated => "updated",
        /// The same facts again: only its age changed.
        Refreshed => "refreshed",
        /// Ignored: it is older than what the table holds.
        Unmodified => "unmodified",
    }
}

numbered! {
    /// What failed about the Routing API.
    RoutingApiError {
        /// A request for a token.
        Token => "token_fetch",
        /// A request for all routes.
        Fetch => "routes_fetch",
        /// A subscription to events, or the stream of them.
        Events => "subscribe_events",
        /// An entry that is none.
        Entry => "entry",
    }
}
