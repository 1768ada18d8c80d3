//! Limits of memory.

/// Why no cgroup can limit memory here; `None` if one can.
pub(crate) fn missing() -> Option<String> {
    Some("needs cgroup memory".to_owned())
}
