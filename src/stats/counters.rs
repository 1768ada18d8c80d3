//! All counters of a snapshot in one row, for memory that processes share.

use super::{LostWithChild, Replies, Shed, Stats};

impl Stats {
    /// The counters that add up over processes; what was received comes last.
    ///
    /// Every field by its name: a new one has to be thought of here.
    pub(crate) fn counters(&mut self) -> impl Iterator<Item = &mut u64> {
        let Self {
            received,
            bytes_received,
            batches,
            handled,
            failed,
            panicked,
            refused,
            shed: Shed { stale, lane_full },
            lost_with_child:
                LostWithChild {
                    exited,
                    signalled,
                    timed_out,
                },
            abandoned,
            would_be_rate_limited,
            hook_panics,
            replies:
                Replies {
                    sent,
                    bytes_sent,
                    send_calls,
                    failed: unsent,
                    withheld,
                },
            receive_errors,
            // Not counted by children, or no counters.
            in_flight: _,
            deferred: _,
            kernel_drops: _,
            receive_buffer: _,
            workers: _,
            busy_workers: _,
            max_workers: _,
            oldest_in_flight: _,
            waiting_bytes: _,
            peak_workers: _,
            failed_worker_starts: _,
            uptime: _,
        } = self;
        let fates = [handled, failed, panicked, stale, lane_full].into_iter();
        let lost = [exited, signalled, timed_out, abandoned].into_iter();
        let beside = [would_be_rate_limited, hook_panics].into_iter();
        let sends = [sent, bytes_sent, send_calls, withheld].into_iter();
        let receives = [receive_errors, batches, bytes_received, received].into_iter();
        fates
            .chain(refused.all())
            .chain(lost)
            .chain(beside)
            .chain(sends)
            .chain(unsent.all())
            .chain(receives)
    }

    /// How many there are of these.
    pub(crate) fn counter_count() -> usize {
        Self::default().counters().count()
    }
}
