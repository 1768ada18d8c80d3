//! Keeps panics of users' code from going any further.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs users' code; a panic becomes its message.
pub(crate) fn contain<T>(code: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|payload| {
        let text = payload.downcast_ref::<String>().cloned();
        let text = text.or_else(|| Some((*payload.downcast_ref::<&str>()?).to_owned()));
        // Its destructor is users' code as well. When that panics, too, the second
        // payload is given up: its destructor might go on for ever.
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(again);
        }
        text.unwrap_or_else(|| "a payload that is not text".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_of_any_payload_are_contained() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("dropped");
            }
        }
        assert_eq!(contain(|| 1), Ok(1));
        assert_eq!(contain(|| panic!("text")), Err::<(), _>("text".to_owned()));
        assert_eq!(
            contain(|| panic!("n = {}", 2)),
            Err::<(), _>("n = 2".to_owned())
        );
        let odd = contain(|| std::panic::panic_any(Bomb));
        assert_eq!(odd, Err::<(), _>("a payload that is not text".to_owned()));
    }
}
