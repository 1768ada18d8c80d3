//! What fuzzers call (`fuzz/run`), and the replay of what they found. Not part
//! of the API.
#![allow(missing_docs, reason = "nobody but the fuzz targets calls these")]

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use crate::guard::{Keys, Networks, Timeline, ValidatedPeers};

/// Control messages, as any bytes at all.
pub fn control_messages(bytes: &[u8]) {
    crate::sys::read_control_messages(bytes);
}

/// A list of networks, one in each line.
pub fn networks(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let texts: Vec<String> = text.lines().map(str::to_owned).collect();
    let Ok(networks) = Networks::parse(&texts) else {
        return;
    };
    assert_eq!(networks.is_empty(), texts.is_empty(), "{texts:?}");
    for text in &texts {
        let first = text.split('/').next().unwrap_or_default();
        if let Ok(ip) = first.trim().parse::<IpAddr>() {
            assert!(networks.contains(ip), "{ip} is in {texts:?}");
        }
    }
}

/// Bytes that somebody sends back as a token.
pub fn tokens(bytes: &[u8]) {
    let now = Instant::now();
    let keys = Keys::new([7; Keys::BYTES]);
    let proofs = ValidatedPeers::new(&keys, Timeline::new(now), Default::default());
    let peer = SocketAddr::from(([192, 0, 2, 1], bytes.len() as u16));
    let token = proofs.token(peer, now);
    let forms = [
        token.as_ref().to_vec(),
        token.short().to_vec(),
        token.to_string().into_bytes(),
    ];
    let lower = bytes.to_ascii_lowercase();
    let is_one = forms.iter().any(|form| *form == bytes || *form == lower);
    assert_eq!(proofs.validate(peer, bytes, now), is_one, "{bytes:?}");
    for form in forms {
        assert!(proofs.validate(peer, &form, now), "{form:?} was issued");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// Everything that is kept for a target, made input again.
    fn replay(target: &str, run: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/seeds")
            .join(target);
        let seeds = fs::read_dir(&folder).expect("the target has seeds");
        let mut count = 0;
        for seed in seeds {
            let path = seed.expect("a readable folder").path();
            run(&fs::read(&path).expect("a readable seed"));
            count += 1;
        }
        assert!(count > 0, "{}: no seeds", folder.display());
    }

    #[test]
    fn nothing_that_was_found_goes_wrong_again() {
        replay("control_messages", super::control_messages);
        replay("networks", super::networks);
        replay("tokens", super::tokens);
    }
}
