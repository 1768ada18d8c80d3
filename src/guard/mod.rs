//! Pure judgement on addresses, lengths and times; no sockets, no clocks: the
//! time is passed in, and so are the keys.
//!
//! | room | what it holds |
//! |---|---|
//! | `responders` | ports of services that answer anything |
//! | `networks` | sets of networks, to allow and to deny |
//! | `prefix` | an address as far as it says who somebody is |
//! | `rate` | how many datagrams each prefix may send |
//! | `loops` | two servers that answer each other for ever |
//! | `amplification` | how much may be sent to an address that is not validated |
//! | `validated` | the addresses that have been |
//! | `token` | what an address is validated with |
//! | `offenders` | who is named in the log, and who is only counted |
//! | `table` | a table that never grows |
//! | `hash` | where an address stands in it, which nobody else can tell |
//! | `keys` | the secrets of one server |
//! | `timestamp` | points in time |

mod amplification;
mod hash;
mod keys;
mod loops;
mod networks;
mod offenders;
mod prefix;
mod rate;
mod responders;
mod table;
mod timestamp;
mod token;
mod validated;

pub use amplification::AmplificationLimit;
pub(crate) use amplification::Credits;
pub(crate) use hash::{Hashed, TableKey};
pub(crate) use keys::Keys;
pub use loops::ReplyLoops;
pub(crate) use loops::{LoopBreaker, Overheard};
pub(crate) use networks::{Access, Admittance, Networks};
pub(crate) use offenders::{Offenders, Summary};
pub(crate) use prefix::Prefix;
pub use rate::RateLimit;
pub(crate) use rate::{RateLimiter, Verdict};
pub(crate) use responders::is_responder_port;
pub(crate) use timestamp::{Timeline, Timestamp};
pub use token::Token;
pub(crate) use token::TokenSecret;
pub(crate) use validated::ValidatedPeers;
