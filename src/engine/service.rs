//! The thread for users' code that is due from time to time.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::Engine;
use crate::contain::contain;
use crate::error::ServeError;

/// Something to do from time to time. Does not panic.
pub(crate) struct Upkeep {
    pub(crate) interval: Duration,
    pub(crate) action: Box<dyn Fn(Arc<Engine>) + Send + Sync>,
}

/// Runs an [`Upkeep`] on a thread of its own, however long it takes: nobody else
/// waits for it but [`stop`](Self::stop), and that only so long.
#[derive(Debug)]
pub(super) struct Service {
    /// Gone, it tells the thread to end.
    stop: Sender<()>,
    ended: Receiver<()>,
}

impl Service {
    /// # Errors
    /// [`ServeError::StartService`] when the system refused the thread.
    pub(super) fn start(engine: &Arc<Engine>, upkeep: Upkeep) -> Result<Self, ServeError> {
        let (stop, stopped) = bounded::<()>(0);
        let (end, ended) = bounded(1);
        let server = Arc::downgrade(engine);
        let name = format!("{}-service", engine.config.thread_name);
        let run = move || {
            let mut due = upkeep.next_due(Instant::now());
            loop {
                let left = due.map(|due| due.saturating_duration_since(Instant::now()));
                let told = match left {
                    Some(left) => stopped.recv_timeout(left),
                    None => stopped.recv().map_err(|_| RecvTimeoutError::Disconnected),
                };
                if told != Err(RecvTimeoutError::Timeout) {
                    break;
                }
                due = due.and_then(|due| upkeep.next_due(due));
                let Some(engine) = server.upgrade() else {
                    break;
                };
                (upkeep.action)(engine);
            }
            // What the hook captured is users' code, too: it ends before the
            // server has ended.
            let _ = contain(|| drop(upkeep));
            let _ = end.send(());
        };
        match thread::Builder::new().name(name).spawn(run) {
            Ok(_detached) => Ok(Self { stop, ended }),
            Err(cause) => Err(ServeError::StartService {
                addr: engine.socket.local_addr(),
                cause,
            }),
        }
    }

    /// Tells it to stop, and waits until it has, at most to the deadline.
    pub(super) fn stop(self, engine: &Engine, deadline: Instant) {
        drop(self.stop);
        let left = deadline.saturating_duration_since(Instant::now());
        if self.ended.recv_timeout(left.max(GRACE)) == Err(RecvTimeoutError::Timeout) {
            let addr = engine.socket.name();
            let line =
                format!("{addr}: the service_actions hook has not returned, and is left behind");
            engine.warn(line).wait(GRACE);
        }
    }
}

impl Upkeep {
    /// When it is due next after it was due `last`: what was missed meanwhile is
    /// left out. `None` when no clock reaches that far.
    pub(super) fn next_due(&self, last: Instant) -> Option<Instant> {
        let next = last.checked_add(self.interval)?;
        let now = Instant::now();
        if next > now {
            return Some(next);
        }
        let interval = self.interval.max(Duration::from_nanos(1)).as_nanos();
        let late = (now - last).as_nanos() % interval;
        let left = Duration::from_nanos((interval - late) as u64);
        now.checked_add(left)
    }
}

/// What a hook that is not hung gets at the deadline.
const GRACE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    /// The grid stands, however long the hook takes.
    #[test]
    fn it_is_due_every_interval_and_what_was_missed_is_left_out() {
        let interval = Duration::from_secs(1);
        let upkeep = Upkeep {
            interval,
            action: Box::new(|_| ()),
        };
        let now = Instant::now();
        assert_eq!(upkeep.next_due(now), Some(now + interval), "in time");
        let last = now - Duration::from_millis(2_500);
        let next = upkeep.next_due(last).expect("clocks reach that far");
        let ahead = (next - last).as_nanos();
        assert_eq!(ahead % interval.as_nanos(), 0, "as often as it was said");
        assert!(
            ahead >= 3 * interval.as_nanos(),
            "not twice for what was missed"
        );
    }
}
