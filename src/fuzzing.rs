//! What fuzzers call (`fuzz/run`), and the replay of what they found. Not part
//! of the API.
#![allow(missing_docs, reason = "nobody but the fuzz targets calls these")]

pub fn control_messages(bytes: &[u8]) {
    crate::sys::read_control_messages(bytes);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// Everything that is kept for a target, made input again.
    fn replay(target: &str, run: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz/seeds")
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
    }
}
