//! Whether a datagram has waited too long.

use std::time::Duration;

/// Whether a datagram that the kernel received at `stamp` is older than `limit`
/// at `now`, both on the system's clock.
///
/// That clock may be set while datagrams wait, which a single stamp does not
/// show. A stamp in the future, or so far in the past that hardly any queue lasts
/// as long (an hour, or twice the limit if that is longer), is taken for such a
/// step. So a step back never makes anything stale; a step forward by less than
/// that adds to every age; and after a stall that long all is taken for fresh.
pub(super) fn is_stale(stamp: Duration, now: Duration, limit: Duration) -> bool {
    now.checked_sub(stamp)
        .is_some_and(|age| age > limit && age < ABSURD.max(limit.saturating_mul(2)))
}

/// No receive buffer holds an hour of traffic that anybody still waits for.
const ABSURD: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(100);

    #[track_caller]
    fn judge(age_millis: i64) -> bool {
        let now = Duration::from_secs(1_000_000);
        let age = Duration::from_millis(age_millis.unsigned_abs());
        let stamp = if age_millis < 0 { now + age } else { now - age };
        is_stale(stamp, now, LIMIT)
    }

    #[test]
    fn what_waited_longer_than_the_limit_is_stale() {
        assert!(!judge(0));
        assert!(!judge(100));
        assert!(judge(101));
        assert!(judge(60_000));
    }

    #[test]
    fn a_step_back_and_a_long_step_forward_make_nothing_stale() {
        assert!(!judge(-1), "set back: received in the future");
        assert!(!judge(3_600_000), "set forward: an hour in the queue");
    }

    #[test]
    fn a_short_step_forward_cannot_be_told_from_an_age() {
        assert!(judge(3_599_999), "set forward, or a stall of an hour");
    }
}
