//! Pure judgement on addresses; no sockets.

mod source;

pub(crate) use source::is_impossible_source;
