//! What can happen to the client.

/// Something that the session must know.
pub enum Event {
    /// A datagram of the server's.
    Datagram(Vec<u8>),
    /// The network's word that nobody hears us.
    Unreachable(String),
    /// A line typed.
    Line(String),
    /// The end of what is typed.
    EndOfInput,
    /// Ctrl-C, or the signal to end.
    Interrupted,
}
