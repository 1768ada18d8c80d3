//! The logger of unit tests.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Reads each line, as loggers do, and then does what its thread wants.
struct Reader;

impl log::Log for Reader {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        READ.fetch_add(record.args().to_string().len(), Relaxed);
        let wanted = WANTED.with_borrow(Clone::clone);
        if let Some(call) = wanted {
            call();
        }
    }

    fn flush(&self) {}
}

static READ: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static WANTED: RefCell<Option<Rc<dyn Fn()>>> = const { RefCell::new(None) };
}

/// From now on, lines are read.
pub(crate) fn read_lines() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Reader).expect("no other logger");
        log::set_max_level(log::LevelFilter::Trace);
    });
}

/// Bytes of all lines that were read.
pub(crate) fn bytes_read() -> usize {
    READ.load(Relaxed)
}

/// From now on, the logger calls this at each line of this thread.
pub(crate) fn call_at_each_line(f: impl Fn() + 'static) {
    read_lines();
    WANTED.set(Some(Rc::new(f)));
}
