//! How an exchange ended that was not finished.

/// Why an exchange has no whole answer, as far as this end can tell. Shown at the end of its line as `aborted:`, where
/// such lines are asked for (`access_log.log_aborted_exchanges`, a key of our own).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aborted {
    /// The client left before it had the whole answer.
    ClientLeft,
    /// The request ended before its end.
    RequestCut,
    /// The endpoint's answer ended before its end, or is malformed from somewhere on.
    AnswerCut,
    /// The endpoint's answer took longer than it may (`endpoint_timeout`).
    AnswerTimedOut,
    /// What came is no request that an endpoint may see: the parser or the gate refused it.
    Refused,
    /// The router was stopped.
    RouterStopped,
}

impl Aborted {
    /// The word on the line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::ClientLeft => "client_left",
            Self::RequestCut => "request_cut",
            Self::AnswerCut => "answer_cut",
            Self::AnswerTimedOut => "answer_timed_out",
            Self::Refused => "refused",
            Self::RouterStopped => "router_stopped",
        }
    }
}
