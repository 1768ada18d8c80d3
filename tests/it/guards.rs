//! What a hostile network may do, and what it gets for it. All of 127.0.0.0/8
//! is loopback on Linux: there the tests have as many sources as they like.

#[cfg(target_os = "linux")]
mod allowed;
mod amplification;
mod changes;
mod journal;
mod proofs;
mod rates;
mod sources;
