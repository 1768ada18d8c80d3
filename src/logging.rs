//! Lines for the program's log, written so that the log cannot harm the server.
//!
//! The logger is users' code: it may panic (`println!` into a closed pipe is
//! enough), and so may the `Display` of a handler's error. Both are contained
//! here, and nowhere else does the crate call `log`. What is left to the caller:
//! a logger may also block for as long as it likes, so no line is written while
//! a lock is held, and state moves on before a line tells of it.

mod detached;
mod limit;
#[cfg(test)]
mod reader;

pub(crate) use detached::{DetachedLog, UnderWay};
pub(crate) use limit::{Admitted, LogLimit};
#[cfg(test)]
pub(crate) use reader::call_at_each_line;

use std::io::{self, Write};

use crate::contain::contain;

/// What becomes of a line at `error` in a program without a logger, or whose
/// logger is told to log nothing: somebody has to hear of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Unlogged {
    /// It goes to standard error.
    #[default]
    ToStderr,
    /// Nobody wants it.
    Dropped,
}

impl Unlogged {
    /// Whether a line at this level is written anywhere.
    fn wants(self, level: log::Level) -> bool {
        level <= log::max_level() || self.is_told(level)
    }

    /// Whether it goes to standard error.
    fn is_told(self, level: log::Level) -> bool {
        let has_no_logger = log::max_level() == log::LevelFilter::Off;
        self == Self::ToStderr && level == log::Level::Error && has_no_logger
    }
}

/// Writes one line at `error`. Called by the macro.
pub(crate) fn write_error(unlogged: Unlogged, module: &str, line: std::fmt::Arguments<'_>) {
    write_any(unlogged, log::Level::Error, module, line);
}

/// Writes one line, to the log or where it goes without one.
fn write_any(unlogged: Unlogged, level: log::Level, module: &str, line: std::fmt::Arguments<'_>) {
    if !unlogged.is_told(level) {
        write(level, module, line);
    } else {
        // In one call, so that lines of several threads stay whole. Where standard
        // error is closed, there is no place left to tell.
        let _ = contain(|| io::stderr().write_all(format!("socketserver: {line}\n").as_bytes()));
    }
}

/// Writes one line, whatever the logger does with it. Called by the macros.
#[allow(
    clippy::disallowed_macros,
    reason = "the one place that calls the logger, contained"
)]
pub(crate) fn write(level: log::Level, module: &str, line: std::fmt::Arguments<'_>) {
    // The panic hook has reported it. There is no place left to tell.
    let _ = contain(|| log::log!(target: module, level, "{line}"));
}

macro_rules! log_error {
    ($unlogged:expr, $($line:tt)+) => {
        $crate::logging::write_error($unlogged, module_path!(), format_args!($($line)+))
    };
}

macro_rules! log_warn {
    ($($line:tt)+) => {
        $crate::logging::write(log::Level::Warn, module_path!(), format_args!($($line)+))
    };
}

macro_rules! log_debug {
    ($($line:tt)+) => {
        $crate::logging::write(log::Level::Debug, module_path!(), format_args!($($line)+))
    };
}

pub(crate) use {log_debug, log_error, log_warn};

#[cfg(test)]
mod tests {
    use super::reader::{bytes_read, read_lines};

    struct Unspeakable;

    impl std::fmt::Display for Unspeakable {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("no words");
        }
    }

    #[test]
    fn a_line_that_panics_costs_nothing_not_even_while_unwinding() {
        struct Speaks;
        impl Drop for Speaks {
            fn drop(&mut self) {
                log_error!(super::Unlogged::Dropped, "{Unspeakable}");
            }
        }
        read_lines();
        log_warn!("words");
        assert!(bytes_read() > 0, "lines are read");
        log_warn!("{Unspeakable}");
        let ended = std::panic::catch_unwind(|| {
            let _speaks = Speaks;
            panic!("the first");
        });
        assert!(ended.is_err(), "the first panic goes on as it was");
    }
}
