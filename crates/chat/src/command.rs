//! What a line means.

use crate::{proof, wire};

/// A line, taken apart. Names are as they were typed, not yet looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// Text for all; may be empty.
    Say(&'a str),
    /// `@name text`: text for one; may be empty.
    Private {
        /// Whom it is for.
        to: &'a str,
        /// What to tell.
        text: &'a str,
    },
    /// `/join NAME`, or with the token that proves the sender's address.
    Join {
        /// The name asked for; empty if none was given.
        name: &'a str,
        /// The last word, if it has the form of a token.
        token: Option<&'a str>,
    },
    /// `/name NEW`: another name.
    Rename(&'a str),
    /// `/who`: who is here.
    Who,
    /// `/help`: what can be typed.
    Help,
    /// `/ping`: a sign of life that asks for another.
    Ping,
    /// `/quit`: goodbye.
    Quit,
    /// Begins with `/` and is none of these.
    Unknown(&'a str),
}

impl<'a> Command<'a> {
    /// Takes a line apart. Every line means something.
    pub fn parse(line: &'a str) -> Self {
        if let Some(words) = line.strip_prefix('@') {
            return parse_private(words).unwrap_or(Self::Say(line));
        }
        if !line.starts_with('/') {
            return Self::Say(line);
        }
        let (word, rest) = split_word(line);
        match word {
            wire::JOIN => parse_join(rest),
            "/name" => Self::Rename(rest),
            "/who" => Self::Who,
            "/help" => Self::Help,
            wire::PING => Self::Ping,
            wire::QUIT => Self::Quit,
            _ => Self::Unknown(word),
        }
    }
}

/// Reads what follows `@`; `None` if no name does.
fn parse_private(words: &str) -> Option<Command<'_>> {
    let (to, text) = split_word(words);
    if to.is_empty() {
        None
    } else {
        Some(Command::Private { to, text })
    }
}

/// Reads what follows `/join`.
fn parse_join(rest: &str) -> Command<'_> {
    match rest.rsplit_once(char::is_whitespace) {
        Some((name, token)) if proof::decode(token).is_some() => Command::Join {
            name: name.trim_end(),
            token: Some(token),
        },
        _ => Command::Join {
            name: rest,
            token: None,
        },
    }
}

/// Splits off the first word, and trims the rest.
fn split_word(line: &str) -> (&str, &str) {
    match line.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest.trim()),
        None => (line, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_line_means_what_help_says() {
        let token = "0123456789a";
        let cases = [
            ("hello", Command::Say("hello")),
            ("", Command::Say("")),
            (" /quit", Command::Say(" /quit")),
            ("客户端1的消息:hi", Command::Say("客户端1的消息:hi")),
            ("@", Command::Say("@")),
            ("@ home", Command::Say("@ home")),
            (
                "@bob hi there ",
                Command::Private {
                    to: "bob",
                    text: "hi there",
                },
            ),
            (
                "@小明 你好",
                Command::Private {
                    to: "小明",
                    text: "你好",
                },
            ),
            (
                "@bob",
                Command::Private {
                    to: "bob",
                    text: "",
                },
            ),
            (
                "/join",
                Command::Join {
                    name: "",
                    token: None,
                },
            ),
            (
                "/join bob",
                Command::Join {
                    name: "bob",
                    token: None,
                },
            ),
            (
                "/join  bob ",
                Command::Join {
                    name: "bob",
                    token: None,
                },
            ),
            (
                "/join bob 0123456789a",
                Command::Join {
                    name: "bob",
                    token: Some(token),
                },
            ),
            (
                "/join 0123456789a",
                Command::Join {
                    name: token,
                    token: None,
                },
            ),
            (
                "/join bob smith",
                Command::Join {
                    name: "bob smith",
                    token: None,
                },
            ),
            ("/name alice", Command::Rename("alice")),
            ("/who", Command::Who),
            ("/who ", Command::Who),
            ("/help me", Command::Help),
            ("/ping", Command::Ping),
            ("/quit", Command::Quit),
            ("/quitter", Command::Unknown("/quitter")),
            ("/", Command::Unknown("/")),
            ("/WHO", Command::Unknown("/WHO")),
        ];
        for (line, command) in cases {
            assert_eq!(Command::parse(line), command, "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn every_line_means_something(line in any::<String>()) {
            match Command::parse(&line) {
                Command::Say(text) => prop_assert_eq!(text, line.as_str()),
                Command::Private { to, .. } => {
                    prop_assert!(line.starts_with('@'));
                    prop_assert!(!to.is_empty() && !to.contains(char::is_whitespace));
                }
                _ => prop_assert!(line.starts_with('/')),
            }
        }

        #[test]
        fn a_private_message_names_its_receiver(to in "[^\\s]{1,32}", text in "\\S.{0,40}\\S") {
            let line = format!("@{to} {text}");
            prop_assert_eq!(Command::parse(&line), Command::Private { to: &to, text: &text });
        }
    }
}
