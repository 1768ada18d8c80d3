//! The end: draining, and sending everyone home.

use super::{Calls, Job, Phase, Protocol, Supervisor, WakeDoors, WorkerId};

impl<J: Job> Protocol<J> {
    /// Stops receiving. Remembered when nobody serves yet.
    pub(crate) fn stop(&mut self) -> Calls<J> {
        if self.phase != Phase::Serving {
            return Calls::NONE;
        }
        self.phase = Phase::Draining;
        self.supervisor = Supervisor::Awake;
        self.doors.close_unheld();
        // The wakers also for who waits at a socket without workers.
        Calls {
            doors: WakeDoors::All,
            supervisor: true,
            ..Calls::NONE
        }
    }

    /// Whether all that was received is dealt with, and nothing more will be.
    pub(crate) fn is_drained(&self) -> bool {
        self.phase == Phase::Draining
            && self.doors.are_closed()
            && self.busy() == 0
            && self.waiting.iter().all(|job| job.unclaimed() == 0)
    }

    /// Whether nobody is at a door or on the way to one, for good: all that was
    /// read from the kernel is in jobs that `busy` workers know, or that wait.
    pub(crate) fn doors_are_closed(&self) -> bool {
        self.doors.are_closed()
    }

    /// Sends everyone home. Those that park must be told, by mailbox. Jobs that
    /// still wait are given up, and returned. Who is at a door by now (it did not
    /// notice) learns of it when it leaves.
    pub(crate) fn close(&mut self) -> (Vec<WorkerId>, Vec<J>) {
        self.phase = Phase::Closed;
        self.doors.close_unheld();
        let jobs = std::mem::take(&mut self.waiting);
        (std::mem::take(&mut self.idle), jobs.into())
    }
}
