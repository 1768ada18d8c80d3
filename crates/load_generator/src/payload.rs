//! What a datagram says, and whether a reply says it back.
//!
//! A datagram is lower-case letters throughout, so that a server which turns
//! them to upper case has something to do and can be told from one that does
//! not: a mark, then the run, the peer and the sequence number with a letter for
//! each four bits, then the alphabet up to the size wanted.

/// The shortest datagram: nothing but the mark and the numbers.
pub const SHORTEST: usize = 1 + 4 + 4 + 8;

/// What a reply has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// The datagram in upper case.
    Upper,
    /// The datagram as it was.
    Echo,
    /// Anything; taken for the answer to the peer's oldest datagram.
    Any,
}

/// Which datagram it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag {
    /// Tells the replies to this run from those to an earlier one.
    pub run: u16,
    /// Who sent it.
    pub peer: u16,
    /// The how-manieth of its peer.
    pub sequence: u32,
    /// Marked with a leading `w` instead of `g`: a server made for it waits.
    pub slow: bool,
}

/// The datagrams of one size and the replies to them.
#[derive(Debug)]
pub struct Payload {
    /// What a datagram ends in.
    filler: Vec<u8>,
    /// What a proper reply ends in.
    reply_filler: Vec<u8>,
    expect: Expect,
}

impl Payload {
    /// Datagrams of `size` bytes, which is at least [`SHORTEST`].
    pub fn new(size: usize, expect: Expect) -> Self {
        let filler: Vec<u8> = (b'a'..=b'z').cycle().take(size - SHORTEST).collect();
        let mut reply_filler = filler.clone();
        if expect == Expect::Upper {
            reply_filler.make_ascii_uppercase();
        }
        Self {
            filler,
            reply_filler,
            expect,
        }
    }

    /// The length of a datagram.
    pub fn size(&self) -> usize {
        SHORTEST + self.filler.len()
    }

    /// Fills in what is the same in all datagrams.
    pub fn prepare(&self, datagram: &mut [u8]) {
        datagram[SHORTEST..].copy_from_slice(&self.filler);
    }

    /// Fills in which datagram it is.
    pub fn tag(&self, datagram: &mut [u8], tag: Tag) {
        datagram[0] = if tag.slow { b'w' } else { b'g' };
        letters(&mut datagram[1..5], tag.run.into());
        letters(&mut datagram[5..9], tag.peer.into());
        letters(&mut datagram[9..17], tag.sequence);
    }

    /// Which datagram this is the reply to, if it is a proper one.
    pub fn read(&self, reply: &[u8]) -> Option<Tag> {
        if reply.len() != self.size() || reply[SHORTEST..] != self.reply_filler {
            return None;
        }
        let a = if self.expect == Expect::Upper {
            b'A'
        } else {
            b'a'
        };
        let slow = match reply[0].wrapping_sub(a) {
            22 => true,
            6 => false,
            _ => return None,
        };
        Some(Tag {
            run: number(&reply[1..5], a)?.try_into().ok()?,
            peer: number(&reply[5..9], a)?.try_into().ok()?,
            sequence: number(&reply[9..17], a)?,
            slow,
        })
    }
}

/// Writes a number, four bits to a letter, the highest first.
fn letters(place: &mut [u8], number: u32) {
    let highest = 4 * (place.len() - 1);
    for (index, letter) in place.iter_mut().enumerate() {
        *letter = b'a' + ((number >> (highest - 4 * index)) & 0xF) as u8;
    }
}

/// Reads what `letters` wrote, in the case that `a` has.
fn number(letters: &[u8], a: u8) -> Option<u32> {
    letters.iter().try_fold(0, |number, letter| {
        let nibble = letter.wrapping_sub(a);
        (nibble < 16).then(|| number << 4 | u32::from(nibble))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: Tag = Tag {
        run: 0xBEEF,
        peer: 999,
        sequence: u32::MAX - 7,
        slow: true,
    };

    fn datagram(payload: &Payload, tag: Tag) -> Vec<u8> {
        let mut datagram = vec![0; payload.size()];
        payload.prepare(&mut datagram);
        payload.tag(&mut datagram, tag);
        datagram
    }

    #[test]
    fn reply_in_upper_case_is_told_from_an_echo() {
        let [upper, echo] = [Expect::Upper, Expect::Echo].map(|expect| Payload::new(64, expect));
        let sent = datagram(&upper, TAG);
        assert!(sent.iter().all(u8::is_ascii_lowercase));
        assert_eq!(upper.read(&sent.to_ascii_uppercase()), Some(TAG));
        assert_eq!(upper.read(&sent), None);
        assert_eq!(echo.read(&sent), Some(TAG));
        assert_eq!(echo.read(&sent.to_ascii_uppercase()), None);
    }

    #[test]
    fn damage_anywhere_is_noticed() {
        let payload = Payload::new(40, Expect::Echo);
        let sent = datagram(&payload, TAG);
        for index in 0..sent.len() {
            let mut damaged = sent.clone();
            damaged[index] ^= 0x20;
            assert_eq!(payload.read(&damaged), None, "at {index}");
        }
        assert_eq!(payload.read(&sent[..39]), None, "cut");
        assert_eq!(payload.read(&[&sent[..], b"a"].concat()), None, "longer");
        assert_eq!(payload.read(&[]), None, "empty");
    }

    #[test]
    fn shortest_has_room_for_the_numbers() {
        let payload = Payload::new(SHORTEST, Expect::Echo);
        let tag = Tag { slow: false, ..TAG };
        assert_eq!(payload.read(&datagram(&payload, tag)), Some(tag));
    }
}
