//! The snapshot for people: in one line, and as a table.

use std::fmt;
use std::time::Duration;

use super::{Refusal, Stats};

impl Stats {
    /// The snapshot as a table, a line per counter. Counters that are zero and
    /// that nobody expects are left out; the fates that the law of conservation
    /// adds up never are.
    ///
    /// # Examples
    /// ```
    /// let stats = socketserver::Stats::default();
    /// assert!(stats.table().to_string().starts_with("received                              0"));
    /// println!("{}", stats.table());
    /// ```
    pub fn table(&self) -> impl fmt::Display + '_ {
        AsTable(self)
    }
}

impl fmt::Display for Stats {
    /// One line. Beside what every server has, only what is not zero.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} received: {} handled",
            grouped(self.received),
            grouped(self.handled)
        )?;
        for (count, fate) in [
            (self.failed, "failed"),
            (self.panicked, "panicked"),
            (self.refused.total(), "refused"),
            (self.shed.total(), "shed"),
            (self.lost_with_child.total(), "lost with their child"),
            (self.abandoned, "abandoned"),
            (self.in_flight, "in flight"),
        ] {
            if count > 0 {
                write!(f, ", {} {fate}", grouped(count))?;
            }
        }
        write!(f, "; {} replies sent", grouped(self.replies.sent))?;
        for (count, what) in [
            (self.replies.failed.total(), "failed"),
            (self.replies.withheld, "withheld"),
        ] {
            if count > 0 {
                write!(f, ", {} {what}", grouped(count))?;
            }
        }
        for (count, what) in [
            (self.kernel_drops.unwrap_or(0), "dropped by the kernel"),
            (self.receive_errors, "receive errors"),
            (self.hook_panics, "panics in hooks"),
        ] {
            if count > 0 {
                write!(f, "; {} {what}", grouped(count))?;
            }
        }
        let (workers, peak) = (self.workers, self.peak_workers);
        write!(
            f,
            "; {workers} workers (peak {peak}); up {:.1} s",
            self.uptime.as_secs_f64()
        )
    }
}

struct AsTable<'a>(&'a Stats);

impl std::ops::Deref for AsTable<'_> {
    type Target = Stats;

    fn deref(&self) -> &Stats {
        self.0
    }
}

impl fmt::Display for AsTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table { f };
        let mean = self.received as f64 / self.batches.max(1) as f64;
        let received = format!(
            "{} in {} batches of {mean:.1}",
            bytes(self.bytes_received),
            grouped(self.batches)
        );
        table.row("received", self.received, &received)?;
        table.row("  handled", self.handled, "")?;
        table.row("  failed", self.failed, "")?;
        table.row("  panicked", self.panicked, "")?;
        table.row("  refused", self.refused.total(), "")?;
        for reason in Refusal::ALL {
            let name = format!("    {}", reason.row());
            table.some(&name, self.refused.by(*reason))?;
        }
        table.row("  shed", self.shed.total(), "")?;
        table.some("    waited too long", self.shed.stale)?;
        table.some("    lane full", self.shed.lane_full)?;
        let lost = &self.lost_with_child;
        table.some("  lost with their child", lost.total())?;
        table.some("    it exited", lost.exited)?;
        table.some("    a signal ended it", lost.signalled)?;
        table.some("    it timed out", lost.timed_out)?;
        table.row("  abandoned", self.abandoned, "")?;
        table.row("  in flight", self.in_flight, "")?;
        match self.kernel_drops {
            Some(drops) => table.row("dropped by the kernel", drops, "")?,
            None => table.text("dropped by the kernel", "not known here")?,
        }
        let replies = &self.replies;
        let sent = format!(
            "{} in {} calls",
            bytes(replies.bytes_sent),
            grouped(replies.send_calls)
        );
        table.row("replies sent", replies.sent, &sent)?;
        table.row("replies failed", replies.failed.total(), "")?;
        for (name, count) in replies.failed.rows() {
            table.some(&format!("    {name}"), count)?;
        }
        table.some("replies withheld", replies.withheld)?;
        table.some("would be over the rate", self.would_be_rate_limited)?;
        table.some("receive errors", self.receive_errors)?;
        table.some("panics in hooks", self.hook_panics)?;
        let most = format!("peak {}, {} allowed", self.peak_workers, self.max_workers);
        table.row("workers", self.workers as u64, &most)?;
        table.some("  busy", self.busy_workers as u64)?;
        if self.oldest_in_flight > Duration::ZERO {
            let oldest = format!("{:.3} s", self.oldest_in_flight.as_secs_f64());
            table.text("oldest in flight", &oldest)?;
        }
        if let Some(waiting) = self.waiting_bytes.filter(|waiting| *waiting > 0) {
            table.text("waiting in the kernel", &bytes(waiting))?;
        }
        table.some("worker starts failed", self.failed_worker_starts)?;
        let granted = bytes(self.receive_buffer.granted as u64);
        let buffer = match self.receive_buffer.asked {
            Some(asked) => format!("{granted} granted, {} asked", bytes(asked as u64)),
            None => granted,
        };
        table.text("receive buffer", &buffer)?;
        let uptime = format!("{:.1} s", self.uptime.as_secs_f64());
        table.last("uptime", &uptime)
    }
}

struct Table<'a, 'b> {
    f: &'a mut fmt::Formatter<'b>,
}

impl Table<'_, '_> {
    fn row(&mut self, name: &str, value: u64, note: &str) -> fmt::Result {
        let value = grouped(value);
        if note.is_empty() {
            writeln!(self.f, "{name:<24}{value:>15}")
        } else {
            writeln!(self.f, "{name:<24}{value:>15}   {note}")
        }
    }

    /// A row only if there is something to say.
    fn some(&mut self, name: &str, value: u64) -> fmt::Result {
        if value == 0 {
            return Ok(());
        }
        self.row(name, value, "")
    }

    fn text(&mut self, name: &str, text: &str) -> fmt::Result {
        writeln!(self.f, "{name:<24}{text:>15}")
    }

    fn last(&mut self, name: &str, text: &str) -> fmt::Result {
        write!(self.f, "{name:<24}{text:>15}")
    }
}

/// `1234567` as `1,234,567`.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of bytes in the largest binary unit that leaves it above one.
fn bytes(count: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{count} B")
    } else {
        format!("{value:.1} {}", units[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_bytes_scaled() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(12_345_678), "12,345,678");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(4 << 20), "4.0 MiB");
    }

    #[test]
    fn a_snapshot_prints_as_one_line_that_says_what_went_wrong() {
        let mut stats = Stats {
            received: 1_007,
            handled: 1_006,
            kernel_drops: Some(3),
            workers: 2,
            peak_workers: 4,
            uptime: Duration::from_millis(12_340),
            ..Stats::default()
        };
        stats.refused.add(Refusal::Verify, 1);
        stats.replies.sent = 1_005;
        stats.replies.failed.no_room = 1;
        assert_eq!(
            stats.to_string(),
            "1,007 received: 1,006 handled, 1 refused; 1,005 replies sent, 1 failed; \
             3 dropped by the kernel; 2 workers (peak 4); up 12.3 s"
        );
    }

    #[test]
    fn every_reason_to_refuse_has_its_row() {
        let mut stats = Stats::default();
        for (reason, count) in Refusal::ALL.iter().zip(100..) {
            stats.refused.add(*reason, count);
        }
        let table = stats.table().to_string();
        for (reason, count) in Refusal::ALL.iter().zip(100..) {
            let row = format!("    {:<20}{count:>15}\n", reason.row());
            assert!(table.contains(&row), "{row} in:\n{table}");
        }
    }

    #[test]
    fn the_table_shows_every_fate_and_hides_empty_reasons() {
        let mut stats = Stats {
            received: 7,
            handled: 6,
            ..Stats::default()
        };
        stats.refused.add(Refusal::Verify, 1);
        let table = stats.table().to_string();
        for expected in ["handled", "failed", "panicked", "refused", "shed"] {
            assert!(table.contains(expected), "{expected} in:\n{table}");
        }
        assert!(table.contains("by verify_request"), "{table}");
        assert!(!table.contains("truncated"), "{table}");
    }
}
