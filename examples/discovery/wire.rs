//! The question and the answer, as bytes: a line of text each.

/// What a client asks the group.
pub(crate) const QUESTION: &[u8] = b"socketserver-discovery 1 who?";

const ANSWER: &str = "socketserver-discovery 1 here";
/// In bytes: an answer is not much longer than the question, so that nobody
/// gains by asking in another's name.
const LONGEST_NAME: usize = 64;

/// A server's answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Answer {
    pub(crate) name: String,
    /// The port of the service, at the address that the answer came from.
    pub(crate) service: u16,
}

impl Answer {
    pub(crate) fn encode(&self) -> Vec<u8> {
        format!("{ANSWER} {} {}", self.service, self.name).into_bytes()
    }

    /// `None` for what is no answer: anyone can send anything.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let rest = text.strip_prefix(ANSWER)?.strip_prefix(' ')?;
        let (service, text) = rest.split_once(' ')?;
        Some(Self {
            name: name(text).ok()?,
            service: service.parse().ok()?,
        })
    }
}

/// A name that can be shown: neither empty nor long, without control characters.
pub(crate) fn name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > LONGEST_NAME {
        Err(format!("not between 1 and {LONGEST_NAME} bytes"))
    } else if text.chars().any(char::is_control) {
        Err("control characters cannot be shown".to_owned())
    } else {
        Ok(text.to_owned())
    }
}
