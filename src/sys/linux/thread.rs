//! Names that `top -H`, `ps -L` and debuggers show.

use std::ffi::CString;

/// Names the calling thread. The kernel keeps 15 bytes (prctl(2), `PR_SET_NAME`):
/// a longer name loses its middle, so that a number at its end stays visible.
pub(crate) fn name_thread(name: &str) {
    let Ok(name) = CString::new(shorten(name)) else {
        return;
    };
    // It fails only for an invalid address, and a name is only for people.
    // SAFETY: a string that ends with zero and lives through the call.
    let _ = unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

fn shorten(name: &str) -> String {
    if name.len() <= KEPT {
        return name.to_owned();
    }
    let tail = name.rfind('-').map_or("", |dash| &name[dash..]);
    let mut head = KEPT.saturating_sub(tail.len());
    while !name.is_char_boundary(head) {
        head -= 1;
    }
    format!("{}{tail}", &name[..head])
}

const KEPT: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_survives_a_long_name() {
        assert_eq!(shorten("echo-3"), "echo-3");
        assert_eq!(shorten("socketserver-255"), "socketserve-255");
        assert_eq!(shorten("服务器服务器服务器-7"), "服务器服-7");
    }
}
