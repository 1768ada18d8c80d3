//! Pure judgement on addresses and times; no sockets, no clocks.

mod age;
mod source;

pub(crate) use age::is_stale;
pub(crate) use source::is_impossible_source;
