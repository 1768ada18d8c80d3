//! Pure judgement on addresses, lengths and times; no sockets, no clocks: the
//! time is passed in, and so are the keys.
//!
//! | room | what it holds |
//! |---|---|
//! | `age` | whether a datagram has waited too long |
//! | `source` | addresses that nobody sends from |
//! | `responders` | ports of services that answer anything |
//! | `networks` | sets of networks, to allow and to deny |
//! | `prefix` | an address as far as it says who somebody is |
//! | `rate` | how many datagrams each prefix may send |
//! | `loops` | two servers that answer each other for ever |
//! | `amplification` | how much may be sent to an address that has not proved itself |
//! | `proofs` | the addresses that have |
//! | `token` | what an address proves itself with |
//! | `offenders` | who is named in the log, and who is only counted |
//! | `table` | a table that never grows |
//! | `hash` | where an address stands in it, which nobody else can tell |
//! | `moment` | points in time |

mod age;
mod amplification;
mod hash;
mod loops;
mod moment;
mod networks;
mod offenders;
mod prefix;
mod proofs;
mod rate;
mod responders;
mod source;
mod table;
mod token;

pub(crate) use age::is_stale;
pub use amplification::AmplificationLimit;
pub(crate) use amplification::Credits;
pub(crate) use hash::{Hashed, Keys, TableKey};
pub use loops::ReplyLoops;
pub(crate) use loops::{LoopBreaker, Overheard};
pub(crate) use moment::{Moment, Timeline};
pub(crate) use networks::{Access, Networks};
pub(crate) use offenders::{Offenders, Summary};
pub(crate) use prefix::Prefix;
pub(crate) use proofs::Proofs;
pub use rate::RateLimit;
pub(crate) use rate::{RateLimiter, Verdict};
pub(crate) use responders::is_responder_port;
pub(crate) use source::{ImpossibleSource, impossible_source};
pub use token::Token;
pub(crate) use token::TokenSecret;
