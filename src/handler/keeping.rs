//! What factories may do beside making handlers: keep something for the server, and
//! refuse datagrams for reasons of their own.

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

use super::HandlerError;
use crate::error::ConfigError;
use crate::stats::Refusal;

/// What a factory keeps for its server, which then has an order per peer.
pub(crate) trait Keeping: Send + Sync {
    /// Refuses options that make no sense, when the server is bound.
    fn check(&self) -> Result<(), ConfigError>;

    /// The server has drained, and can still send: ends it all, with users' code, on a
    /// thread that may take its time.
    fn end(self: Arc<Self>);
}

/// The error of a handler that is no user's: the datagram is refused.
#[derive(Debug)]
pub(crate) struct Declined(pub(crate) Refusal);

impl Declined {
    pub(crate) fn because(reason: Refusal) -> HandlerError {
        Box::new(Self(reason))
    }
}

impl Display for Declined {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "refused: {}", self.0)
    }
}

impl std::error::Error for Declined {}
