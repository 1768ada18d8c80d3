//! The words on the wire that both programs must agree on.
//!
//! One datagram is one line of UTF-8. What a client sends is a command if it
//! begins with `/`, a private message if it begins with `@`, and plain text
//! otherwise. What the server sends is either `NAME: text` or a notice, which
//! begins with `* `; no name does. Nothing that the server sends of its own
//! accord begins with `/`: sent back to it, by an echo service or by another
//! such server whose address someone forged, it is mere text, and is not
//! answered. So no two machines can be set talking to each other.

use std::fmt;

/// Where the server listens when nothing else is said.
pub const DEFAULT_ADDR: &str = "127.0.0.1:8080";

/// The most bytes of one message. With the longest name before it a line still
/// fits the 1,024 bytes that small clients receive into.
pub const MAX_TEXT: usize = 900;

/// Asks to be let in; a name follows, and the token, once there is one.
pub const JOIN: &str = "/join";
/// Asks for a sign of life.
pub const PING: &str = "/ping";
/// Says goodbye.
pub const QUIT: &str = "/quit";

/// A line from the server itself rather than from a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice<'a> {
    /// Asks whoever wants `name` to repeat the join with `token`, which proves
    /// that the address in its datagrams is its own. Written with `{:#}` it
    /// says so in one more word.
    Ticket {
        /// The name that was asked for.
        name: &'a str,
        /// What to send back.
        token: &'a str,
    },
    /// The receiver is in the room, under this name.
    Welcome(&'a str),
    /// The name asked for cannot be had, and why.
    Refused(&'a str),
    /// The receiver is not in the room, and what it sent is for members only.
    JoinFirst,
    /// The receiver is not in the room, and only the operator reads what it
    /// writes.
    Guest,
    /// The receiver was silent for too long and is no longer in the room.
    Expired,
    /// The answer to `/ping`.
    Pong,
    /// The answer to `/quit`.
    Bye,
    /// The server is about to end.
    Closing,
    /// News for people to read.
    News(&'a str),
}

impl<'a> Notice<'a> {
    /// Reads a line; `None` if a person said it.
    pub fn parse(line: &'a str) -> Option<Self> {
        let text = line.strip_prefix(MARK)?;
        let fixed = [
            Self::JoinFirst,
            Self::Guest,
            Self::Expired,
            Self::Pong,
            Self::Bye,
            Self::Closing,
        ];
        if let Some(notice) = fixed
            .into_iter()
            .find(|notice| notice.fixed_text() == Some(text))
        {
            return Some(notice);
        }
        if let Some(rest) = text.strip_prefix(WELCOME) {
            return Some(Self::Welcome(
                rest.split_once(' ').map_or(rest, |(name, _)| name),
            ));
        }
        if let Some(reason) = text.strip_prefix(REFUSED) {
            return Some(Self::Refused(reason));
        }
        let words: Vec<&str> = text.strip_prefix(SEND).unwrap_or(text).split(' ').collect();
        match words[..] {
            [JOIN, name, token] => Some(Self::Ticket { name, token }),
            _ => Some(Self::News(text)),
        }
    }

    /// The text of a notice that is always the same.
    fn fixed_text(&self) -> Option<&'static str> {
        match self {
            Self::JoinFirst => Some("/join NAME"),
            Self::Guest => Some("you are a guest; /join NAME"),
            Self::Expired => Some("you were silent for too long; /join NAME brings you back"),
            Self::Pong => Some("pong"),
            Self::Bye => Some("bye"),
            Self::Closing => Some("the server closes"),
            _ => None,
        }
    }
}

impl fmt::Display for Notice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MARK)?;
        match self {
            Self::Ticket { name, token } => {
                let send = if f.alternate() { SEND } else { "" };
                write!(f, "{send}{JOIN} {name} {token}")
            }
            Self::Welcome(name) => write!(f, "{WELCOME}{name} (/help lists the commands)"),
            Self::Refused(reason) => write!(f, "{REFUSED}{reason}"),
            Self::News(text) => f.write_str(text),
            _ => f.write_str(self.fixed_text().unwrap_or_default()),
        }
    }
}

/// Begins every notice.
const MARK: &str = "* ";
/// Makes a ticket plainer for people, where there is room.
const SEND: &str = "send ";
/// Begins a welcome.
const WELCOME: &str = "you are ";
/// Begins a refusal.
const REFUSED: &str = "no: ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_side_writes_the_other_reads() {
        let ticket = Notice::Ticket {
            name: "客户端1",
            token: "0123456789a",
        };
        let notices = [
            ticket,
            Notice::Welcome("bob"),
            Notice::Refused("name taken"),
            Notice::JoinFirst,
            Notice::Guest,
            Notice::Expired,
            Notice::Pong,
            Notice::Bye,
            Notice::Closing,
            Notice::News("bob joined"),
        ];
        for notice in notices {
            assert_eq!(Notice::parse(&notice.to_string()), Some(notice));
        }
        assert_eq!(Notice::parse(&format!("{ticket:#}")), Some(ticket));
    }

    #[test]
    fn people_write_no_notices() {
        assert_eq!(Notice::parse("bob: * pong"), None);
        assert_eq!(Notice::parse("*pong"), None);
        assert_eq!(Notice::parse(""), None);
    }
}
