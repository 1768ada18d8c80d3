//! The snapshot as samples, for whatever collects metrics.

use std::time::Duration;

use super::{LostWithChild, ReceiveBuffer, Refusal, Replies, Shed, Stats};

/// One number of a snapshot, with what a program needs that knows no names: see
/// [`Stats::samples`].
///
/// # Examples
/// ```
/// let stats = socketserver::Stats::default();
/// let received = stats.samples().next().expect("it is the first");
/// assert_eq!(received.name, "datagrams_received");
/// assert_eq!(received.value, 0.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Sample {
    /// What it is called: lower case, with `_`, and its unit at the end where it
    /// is none of datagrams, calls or threads.
    pub name: &'static str,
    /// What it counts, in one line.
    pub help: &'static str,
    /// How it changes.
    pub kind: SampleKind,
    /// The name and the value of the label that tells samples of one name apart.
    pub label: Option<(&'static str, &'static str)>,
    /// The value. Whole numbers are exact up to 2⁵³.
    pub value: f64,
}

/// How a [`Sample`] changes from one snapshot to the next.
///
/// # Examples
/// ```
/// use socketserver::SampleKind;
///
/// let peaks = socketserver::Stats::default();
/// let peaks = peaks.samples().filter(|sample| sample.kind == SampleKind::Peak);
/// assert_eq!(peaks.map(|sample| sample.name).collect::<Vec<_>>(), ["peak_workers"]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SampleKind {
    /// It only grows, from `bind` on: its rate is worth something.
    Counter,
    /// It goes up and down.
    Gauge,
    /// The highest that a gauge has been since `bind`. It never falls: neither a
    /// sum nor a rate of it means anything.
    Peak,
}

impl Stats {
    /// All numbers of the snapshot. What the system does not tell is left out.
    /// Samples of one name follow one another.
    ///
    /// # Examples
    /// In the text format of Prometheus, which knows peaks as gauges:
    ///
    /// ```
    /// use socketserver::{SampleKind, Stats};
    ///
    /// fn exposition(stats: &Stats) -> String {
    ///     let mut text = String::new();
    ///     let mut last = "";
    ///     for sample in stats {
    ///         let name = sample.name;
    ///         let kind = match sample.kind {
    ///             SampleKind::Counter => "counter",
    ///             _ => "gauge",
    ///         };
    ///         if name != last {
    ///             text += &format!("# HELP {name} {}\n# TYPE {name} {kind}\n", sample.help);
    ///         }
    ///         last = name;
    ///         match sample.label {
    ///             Some((label, of)) => text += &format!("{name}{{{label}=\"{of}\"}} {}\n", sample.value),
    ///             None => text += &format!("{name} {}\n", sample.value),
    ///         }
    ///     }
    ///     text
    /// }
    ///
    /// let text = exposition(&Stats::default());
    /// assert!(text.contains("\ndatagrams_refused{reason=\"by verify_request\"} 0\n"));
    /// ```
    pub fn samples(&self) -> impl Iterator<Item = Sample> + use<> {
        self.into_iter()
    }
}

impl IntoIterator for &Stats {
    type Item = Sample;
    type IntoIter = std::vec::IntoIter<Sample>;

    fn into_iter(self) -> Self::IntoIter {
        collect(self).into_iter()
    }
}

/// One line for each name.
macro_rules! samples {
    ($($kind:ident $name:literal = $value:expr, $help:literal;)*) => {{
        let mut samples = Vec::new();
        $($value.each(|label, value| samples.push(Sample {
            name: $name,
            help: $help,
            kind: SampleKind::$kind,
            label,
            value,
        }));)*
        samples
    }};
}
/// Every field by its name: a new one has to be thought of here.
fn collect(stats: &Stats) -> Vec<Sample> {
    let Stats {
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
        in_flight,
        deferred,
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
        kernel_drops,
        receive_buffer: ReceiveBuffer { asked, granted },
        workers,
        busy_workers,
        max_workers,
        oldest_in_flight,
        waiting_bytes,
        peak_workers,
        failed_worker_starts,
        uptime,
    } = *stats;
    let refused = Refusal::ALL
        .iter()
        .map(|reason| (reason.row(), refused.by(*reason)));
    let shed = [("waited too long", stale), ("lane full", lane_full)];
    let lost = [
        ("exited", exited),
        ("signalled", signalled),
        ("timed out", timed_out),
    ];
    samples! {
        Counter "datagrams_received" = received, "Datagrams read from the kernel.";
        Counter "received_bytes" = bytes_received, "Payload of datagrams read from the kernel.";
        Counter "receive_calls" = batches, "Receive calls that returned datagrams.";
        Counter "receive_errors" = receive_errors, "Errors that receive calls returned.";
        Counter "kernel_drops" = kernel_drops, "Datagrams that the kernel dropped.";
        Counter "datagrams_handled" = handled, "Datagrams whose handler returned Ok.";
        Counter "datagrams_failed" = failed, "Datagrams whose handler returned an error.";
        Counter "datagrams_panicked" = panicked, "Datagrams whose handler panicked.";
        Counter "datagrams_refused" = ByReason(refused), "Datagrams never shown to a handler.";
        Counter "datagrams_shed" = ByReason(shed), "Datagrams given up to stay responsive.";
        Counter "datagrams_lost_with_child" = ByReason(lost), "Datagrams whose child process died in their handler.";
        Counter "datagrams_abandoned" = abandoned, "Datagrams not finished at the end.";
        Gauge "datagrams_in_flight" = in_flight, "Datagrams received and not settled yet.";
        Gauge "answers_deferred" = deferred, "Datagrams whose answer is deferred.";
        Gauge "oldest_in_flight_seconds" = oldest_in_flight, "For how long the oldest datagram has been in its handler.";
        Counter "would_be_rate_limited" = would_be_rate_limited, "Datagrams that a rate limit on a dry run would have refused.";
        Counter "hook_panics" = hook_panics, "Panics in hooks and in finish.";
        Counter "replies_sent" = sent, "Datagrams that the kernel accepted.";
        Counter "sent_bytes" = bytes_sent, "Payload of datagrams that the kernel accepted.";
        Counter "send_calls" = send_calls, "System calls that sending took.";
        Counter "replies_failed" = ByReason(unsent.rows()), "Datagrams that could not be sent.";
        Counter "replies_withheld" = withheld, "Datagrams that an amplification limit forbade.";
        Gauge "workers" = workers, "Worker threads.";
        Gauge "busy_workers" = busy_workers, "Worker threads that handle datagrams.";
        Peak "peak_workers" = peak_workers, "The most worker threads at one time.";
        Gauge "max_workers" = max_workers, "The most worker threads there may be.";
        Counter "failed_worker_starts" = failed_worker_starts, "Worker threads that could not be started while growing.";
        Gauge "waiting_bytes" = waiting_bytes, "Memory of datagrams not yet received.";
        Gauge "receive_buffer_bytes" = granted, "The receive buffer that the kernel granted.";
        Gauge "receive_buffer_asked_bytes" = asked, "The receive buffer that was asked for.";
        Gauge "uptime_seconds" = uptime, "Time since bind.";
    }
}

/// The name and the value of what tells samples of one name apart.
type Label = Option<(&'static str, &'static str)>;

/// What samples of one name are made of.
trait Values {
    fn each(self, push: impl FnMut(Label, f64));
}

impl Values for u64 {
    fn each(self, mut push: impl FnMut(Label, f64)) {
        push(None, self as f64);
    }
}

impl Values for usize {
    fn each(self, push: impl FnMut(Label, f64)) {
        (self as u64).each(push);
    }
}

impl Values for Duration {
    fn each(self, mut push: impl FnMut(Label, f64)) {
        push(None, self.as_secs_f64());
    }
}

/// What the system may not tell.
impl<V: Values> Values for Option<V> {
    fn each(self, push: impl FnMut(Label, f64)) {
        if let Some(value) = self {
            value.each(push);
        }
    }
}

struct ByReason<I>(I);

impl<I: IntoIterator<Item = (&'static str, u64)>> Values for ByReason<I> {
    fn each(self, mut push: impl FnMut(Label, f64)) {
        for (reason, count) in self.0 {
            push(Some(("reason", reason)), count as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_samples_are_the_same_and_those_of_one_name_stand_together() {
        let samples: Vec<_> = Stats::default().samples().collect();
        let told: HashSet<_> = samples.iter().map(|s| (s.name, s.label)).collect();
        assert_eq!(told.len(), samples.len(), "name and label tell them apart");
        let mut names: Vec<_> = samples.iter().map(|s| s.name).collect();
        names.dedup();
        let distinct: HashSet<_> = names.iter().collect();
        assert_eq!(
            distinct.len(),
            names.len(),
            "each name comes once: {names:?}"
        );
    }

    #[test]
    fn samples_add_up_like_the_snapshot() {
        let mut stats = Stats {
            received: 20,
            handled: 6,
            failed: 4,
            panicked: 2,
            abandoned: 1,
            ..Stats::default()
        };
        stats.refused.add(Refusal::Verify, 3);
        stats.shed.stale = 1;
        stats.shed.lane_full = 1;
        stats.lost_with_child.signalled = 2;
        let fates = [
            "datagrams_handled",
            "datagrams_failed",
            "datagrams_panicked",
            "datagrams_refused",
            "datagrams_shed",
            "datagrams_lost_with_child",
            "datagrams_abandoned",
        ];
        let fates = stats.samples().filter(|s| fates.contains(&s.name));
        assert_eq!(fates.map(|s| s.value).sum::<f64>(), stats.settled() as f64);
    }
}
