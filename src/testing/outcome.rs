//! What came of a datagram on a bench.

use std::net::SocketAddr;

use crate::handler::HandlerError;

/// What a handler returned, and what was sent meanwhile.
///
/// # Examples
/// ```
/// use socketserver::testing::Bench;
///
/// let mut bench = Bench::from_fn(|_, _, _| Err("not today".into()));
/// let outcome = bench.handle("hello");
/// assert_eq!(outcome.result.unwrap_err().to_string(), "not today");
/// assert!(outcome.sent.is_empty());
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// What `setup` or the handler returned. An error is here as well if what was
    /// written with [`writer`](crate::SocketHandle::writer) cannot be sent: a server
    /// logs that.
    pub result: Result<(), HandlerError>,
    /// All that was sent, in its order, by whichever way.
    pub sent: Vec<Sent>,
    pub(super) peer: SocketAddr,
}

/// One datagram that was sent.
///
/// # Examples
/// ```
/// use socketserver::testing::Bench;
///
/// let mut bench = Bench::from_fn(|bytes, _, socket| Ok(socket.reply(bytes)?));
/// let sent = &bench.from("192.0.2.7:7").handle("hello\n").sent[0];
/// assert_eq!(
///     format!("{sent:?}"),
///     r#"Sent { bytes: "hello\n", to: 192.0.2.7:7, from: 198.51.100.1:4000 }"#
/// );
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sent {
    /// The payload.
    pub bytes: Vec<u8>,
    /// The peer that it was sent to.
    pub to: SocketAddr,
    /// The address that it leaves from: what the datagram at hand was sent to, and
    /// `[::]:4000` where the route decides.
    pub from: SocketAddr,
}

impl Outcome {
    /// What was sent to the peer whose datagram was handled, in its order.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::testing::Bench;
    /// let mut bench = Bench::from_fn(|bytes, _, socket| {
    ///     socket.send_to(b"for the record", "192.0.2.99:514".parse()?)?;
    ///     bytes.chunks(2).try_for_each(|part| Ok(socket.reply(part)?))
    /// });
    /// let outcome = bench.handle("abc");
    /// assert_eq!(outcome.replies(), [&b"ab"[..], b"c"]);
    /// ```
    pub fn replies(&self) -> Vec<&[u8]> {
        let to_peer = self.sent.iter().filter(|sent| sent.to == self.peer);
        to_peer.map(|sent| &*sent.bytes).collect()
    }

    /// The one reply to the peer.
    ///
    /// # Panics
    /// If the handler failed, and if there was no reply or more than one: with what
    /// there was.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::testing::Bench;
    /// let mut bench = Bench::from_fn(|bytes, _, socket| Ok(socket.reply(bytes)?));
    /// assert_eq!(bench.handle("hello").reply(), b"hello");
    /// ```
    #[track_caller]
    pub fn reply(&self) -> &[u8] {
        match (&self.result, &*self.replies()) {
            (Ok(()), [reply]) => reply,
            (Err(error), _) => panic!("the handler failed: {error}"),
            (Ok(()), replies) => panic!("{} replies, not one: {:?}", replies.len(), self.sent),
        }
    }
}

impl std::fmt::Debug for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sent")
            .field("bytes", &format_args!("\"{}\"", self.bytes.escape_ascii()))
            .field("to", &self.to)
            .field("from", &self.from)
            .finish()
    }
}
