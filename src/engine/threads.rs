//! The threads: a `threadpool` whose every job is one worker's loop.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use threadpool::ThreadPool;

use super::{Engine, worker};
use crate::contain::contain;
use crate::sys::{has_memory, try_thread};

/// How starting one more worker ended.
#[derive(Debug)]
pub(super) enum Start {
    Started,
    /// There are as many as there may be.
    Full,
    /// The system had no thread or no memory for it, and said this.
    Refused(io::Error),
}

impl Engine {
    /// Starts one more worker, if there may be one more.
    ///
    /// All the memory that it begins with is asked for here, where a refusal is
    /// an error: on its own thread, one would end the process.
    pub(super) fn start_worker(self: &Arc<Self>) -> Start {
        let Some(id) = self.protocol().hire() else {
            return Start::Full;
        };
        let started = self
            .make_slot(id)
            .and_then(|()| self.work.batches.take())
            .and_then(|batch| {
                // What the worker allocates later, like all Rust code, ends the process
                // when it is refused.
                has_memory(HEADROOM)?;
                let engine = Arc::clone(self);
                self.threads.start(move || worker::run(&engine, id, batch))
            });
        if let Err(cause) = started {
            self.transit(|protocol| ((), protocol.gone(id, false, None)));
            return Start::Refused(cause);
        }
        let workers = self.protocol().workers() as u64;
        self.threads.peak.fetch_max(workers, Relaxed);
        Start::Started
    }
}

/// In bytes of address space: what some hundred small allocations and the
/// structures of a thread take.
const HEADROOM: usize = 8 << 20;

/// Hosts worker loops, one thread each, and grows and shrinks one at a time.
///
/// What `threadpool` 1.8 needs kept in mind: it unwraps a thread start that
/// fails, after it has raised its own maximum; a thread whose job has ended
/// looks for another job unless the maximum is below the number of jobs that
/// still run; a panic that leaves a job costs the loop on that thread.
///
/// So a thread like the one to be started is tried first. When the system
/// refuses it, the refusal is an error as any other, and the pool is not asked.
/// A panic of the pool remains only for a system that refuses the second of two
/// threads: one that somebody else took in between. It is contained, but for
/// programs built with `panic = "abort"`, which it ends.
#[derive(Debug)]
pub(crate) struct Threads {
    pool: Mutex<Option<ThreadPool>>,
    /// The most workers there were at one time.
    pub(super) peak: AtomicU64,
    /// Workers that the system refused while the pool grew.
    pub(super) failed_starts: AtomicU64,
    thread_name: String,
    stack_size: Option<usize>,
}

impl Threads {
    pub(crate) fn new(thread_name: String, stack_size: Option<usize>) -> Self {
        Self {
            pool: Mutex::new(None),
            peak: AtomicU64::new(0),
            failed_starts: AtomicU64::new(0),
            thread_name,
            stack_size,
        }
    }

    /// Runs `job` on a thread of its own. The job must not panic.
    ///
    /// # Errors
    /// What the system said when it did not start the thread.
    pub(crate) fn start(&self, job: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let mut slot = self.pool();
        try_thread(self.like_a_worker())?;
        match slot.as_mut() {
            None => *slot = Some(contain(|| self.first_thread()).map_err(refusal)?),
            Some(pool) => {
                let before = pool.max_count();
                if let Err(message) = contain(|| pool.set_num_threads(before + 1)) {
                    pool.set_num_threads(before);
                    return Err(refusal(message));
                }
            }
        }
        if let Some(pool) = slot.as_ref() {
            pool.execute(job);
        }
        Ok(())
    }

    /// The calling job is about to return, and its thread shall end with it.
    pub(crate) fn release_one(&self) {
        if let Some(pool) = self.pool().as_mut() {
            let fewer = pool.max_count() - 1;
            if fewer > 0 {
                pool.set_num_threads(fewer);
            }
        }
    }

    /// Lets every thread end once its job has returned.
    pub(crate) fn dismiss(&self) {
        self.pool().take();
    }

    /// What the pool starts as a thread, outside the pool.
    fn like_a_worker(&self) -> thread::Builder {
        let thread = thread::Builder::new().name(self.thread_name.clone());
        match self.stack_size {
            Some(bytes) => thread.stack_size(bytes),
            None => thread,
        }
    }

    fn first_thread(&self) -> ThreadPool {
        let builder = threadpool::Builder::new()
            .num_threads(1)
            .thread_name(self.thread_name.clone());
        match self.stack_size {
            Some(bytes) => builder.thread_stack_size(bytes),
            None => builder,
        }
        .build()
    }

    fn pool(&self) -> MutexGuard<'_, Option<ThreadPool>> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the pool said in a panic, as the error that it was.
fn refusal(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::WouldBlock, message)
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::{bounded, unbounded};

    use super::*;

    #[test]
    fn every_job_has_a_thread_of_its_own() {
        let threads = Threads::new("threads".to_owned(), None);
        let (here, arrived) = unbounded();
        let (_hold, held) = bounded::<()>(0);
        for _ in 0..5 {
            let (here, held) = (here.clone(), held.clone());
            threads
                .start(move || {
                    here.send(std::thread::current().id())
                        .expect("the test waits");
                    let _ = held.recv();
                })
                .expect("five threads");
        }
        let mut ids: Vec<_> = (0..5).map(|_| arrived.recv().expect("it runs")).collect();
        ids.sort_by_key(|id| format!("{id:?}"));
        ids.dedup();
        assert_eq!(ids.len(), 5);
    }

    #[test]
    fn a_thread_that_cannot_be_started_is_an_error_and_the_pool_goes_on() {
        // No address space has room for such a stack.
        let threads = Threads::new("threads".to_owned(), Some(usize::MAX / 4));
        for time in ["the first", "still an error, not a deadlock"] {
            let error = threads.start(|| ()).expect_err(time);
            assert!(error.raw_os_error().is_some(), "the system's own: {error}");
        }
    }
}
