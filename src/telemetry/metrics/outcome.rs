//! How an RPC ended, by whose doing it was.

/// How an RPC ended; each ends in exactly one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RpcOutcome {
    /// It was answered.
    Ok,
    /// It failed, and only the caller can change that.
    Caller,
    /// It failed because Voyage did, or refused.
    Upstream,
    /// It failed because the gateway did, or its budget is used up.
    Gateway,
    /// It was refused because this replica was full.
    Shed,
    /// The caller left before its end.
    Cancelled,
    /// A panic took it.
    Panicked,
}

impl RpcOutcome {
    /// Every way there is.
    pub const ALL: [Self; 7] = [
        Self::Ok,
        Self::Caller,
        Self::Upstream,
        Self::Gateway,
        Self::Shed,
        Self::Cancelled,
        Self::Panicked,
    ];

    /// Returns the name used in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Caller => "caller",
            Self::Upstream => "upstream",
            Self::Gateway => "gateway",
            Self::Shed => "shed",
            Self::Cancelled => "cancelled",
            Self::Panicked => "panicked",
        }
    }
}
