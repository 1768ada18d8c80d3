//! The counts, for people and for programs.

use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::{Expect, Plan, Tally};

/// Several lines for people.
pub fn text(plan: &Plan, tally: &Tally) -> String {
    let mut text = String::new();
    let Plan { peers, size, .. } = plan;
    let shape = match plan.rate {
        Some(rate) => format!("open loop, {rate} datagrams/s"),
        None => format!("closed loop, {} in flight each", plan.window),
    };
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<11}{value}");
    };
    line("load", format!("{peers} peers, {shape}, {size} bytes"));
    let seconds = tally.sending.as_secs_f64();
    line(
        "rate",
        format!("{:.0} answered/s over {seconds:.2} s", tally.rate()),
    );
    if let Some(asked) = plan.rate {
        let sent = tally.rate_sent();
        let percent = 100.0 * sent / asked;
        line(
            "asked",
            format!("{asked:.0} sent/s, done {sent:.0} ({percent:.1} %)"),
        );
    }
    line("sent", tally.sent.to_string());
    line("answered", tally.answered.to_string());
    let percent = 100.0 * tally.loss();
    let late = tally.late;
    line(
        "lost",
        format!("{} ({percent:.3} %), of which late {late}", tally.lost),
    );
    if tally.pending > 0 {
        let pending = tally.pending;
        line(
            "pending",
            format!("{pending}, neither answered nor lost: cut off"),
        );
    }
    line("duplicates", tally.duplicates.to_string());
    line("wrong", tally.wrong.to_string());
    if let Some(error) = &tally.first_error {
        line("errors", format!("{}, the first: {error}", tally.errors));
    }
    if tally.latency.is_empty() {
        return text;
    }
    let percentiles = percentiles(&tally.latency)
        .map(|(name, nanos)| format!("{name} {:.1?}", Duration::from_nanos(nanos)));
    line("latency", percentiles.join("  "));
    text.push_str(&bars(&tally.latency));
    text
}

/// What to mind when reading the counts, a line each.
pub fn warnings(plan: &Plan, tally: &Tally) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(asked) = plan.rate {
        let share = tally.rate_sent() / asked;
        if share < ENOUGH && tally.sent > 0 {
            warnings.push(format!(
                "only {:.0} % of the rate asked for could be sent: latency counts from when a \
                 datagram was due, so most of it is this program's own lag",
                100.0 * share
            ));
        }
    }
    if tally.answered == 0 && tally.wrong > 0 {
        let (expected, hint) = match plan.expect {
            Expect::Upper => (
                "the datagram in upper case",
                "; --expect echo is for a server that sends back what it got",
            ),
            Expect::Echo => (
                "the datagram as it was",
                "; --expect upper is for one that turns it to upper case",
            ),
            Expect::Any => ("anything", ""),
        };
        warnings.push(format!(
            "{} replies from {}, and none is what was expected, {expected}{hint}",
            tally.wrong, plan.server
        ));
    } else if tally.is_refused() {
        warnings.push(format!("nobody listens on {}", plan.server));
    } else if tally.answered == 0 {
        warnings.push(format!("no reply from {}: is it serving?", plan.server));
    }
    warnings
}

/// One JSON object: counts, seconds, and microseconds for latency.
pub fn json(plan: &Plan, tally: &Tally) -> String {
    let rate_asked = plan.rate.map_or("null".to_owned(), |rate| rate.to_string());
    let mut fields = vec![
        ("peers".to_owned(), plan.peers.to_string()),
        ("window".to_owned(), plan.window.to_string()),
        ("size".to_owned(), plan.size.to_string()),
        ("rate_asked".to_owned(), rate_asked),
        (
            "seconds".to_owned(),
            format!("{:.6}", tally.sending.as_secs_f64()),
        ),
        ("rate".to_owned(), format!("{:.1}", tally.rate())),
        ("rate_sent".to_owned(), format!("{:.1}", tally.rate_sent())),
        ("sent".to_owned(), tally.sent.to_string()),
        ("answered".to_owned(), tally.answered.to_string()),
        ("lost".to_owned(), tally.lost.to_string()),
        ("pending".to_owned(), tally.pending.to_string()),
        ("late".to_owned(), tally.late.to_string()),
        ("duplicates".to_owned(), tally.duplicates.to_string()),
        ("wrong".to_owned(), tally.wrong.to_string()),
        ("errors".to_owned(), tally.errors.to_string()),
    ];
    for (name, nanos) in percentiles(&tally.latency) {
        fields.push((
            format!("{}_us", name.replace('.', "")),
            format!("{:.1}", nanos as f64 / 1e3),
        ));
    }
    let fields: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    format!("{{{}}}", fields.join(","))
}

/// In nanoseconds.
fn percentiles(latency: &Histogram<u64>) -> [(&'static str, u64); 5] {
    let at = |quantile| latency.value_at_quantile(quantile);
    [
        ("p50", at(0.5)),
        ("p90", at(0.9)),
        ("p99", at(0.99)),
        ("p99.9", at(0.999)),
        ("max", latency.max()),
    ]
}

/// A line for each doubling of latency.
fn bars(latency: &Histogram<u64>) -> String {
    let mut text = String::new();
    for step in latency.iter_log(1_000, 2.0) {
        let count = step.count_since_last_iteration();
        if count == 0 {
            continue;
        }
        let share = count as f64 / latency.len() as f64;
        let below = Duration::from_nanos(step.value_iterated_to() + 1);
        let bar = "#".repeat((share * WIDEST).ceil() as usize);
        let below = format!("{below:.0?}");
        let _ = writeln!(text, "  < {below:>7} {:>7.3} % {bar}", 100.0 * share);
    }
    text
}

const WIDEST: f64 = 50.0;
/// The share of the rate asked for below which the generator's own lag shows.
const ENOUGH: f64 = 0.95;

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::options::Options;

    fn example() -> (Plan, Tally) {
        let options = Options::parse_from(["udp_load", "127.0.0.1:9"]);
        let mut tally = Tally {
            sent: 1_000,
            answered: 999,
            answered_sending: 999,
            lost: 1,
            sending: Duration::from_secs(1),
            ..Tally::default()
        };
        tally.latency.record_n(1_500, 998).expect("in bounds");
        tally.latency.record(1_000_000).expect("in bounds");
        (options.plan().expect("all of it makes sense"), tally)
    }

    #[test]
    fn text_has_rate_loss_and_latency() {
        let (plan, tally) = example();
        let text = text(&plan, &tally);
        for part in ["999 answered/s", "1 (0.100 %)", "p50 1.5µs", "< ", "#"] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }

    #[test]
    fn an_open_loop_says_what_it_asked_for_and_what_it_sent() {
        let (mut plan, tally) = example();
        for (rate, percent, warned) in [(1_000.0, "(100.0 %)", false), (2_000.0, "(50.0 %)", true)]
        {
            plan.rate = Some(rate);
            let text = text(&plan, &tally);
            assert!(text.contains(percent), "{percent} in\n{text}");
            assert_eq!(!warnings(&plan, &tally).is_empty(), warned, "at {rate}");
        }
    }

    #[test]
    fn wrong_replies_are_told_from_none() {
        let (plan, mut tally) = example();
        tally.answered = 0;
        let none = warnings(&plan, &tally).concat();
        assert!(none.contains("is it serving?"), "{none}");
        tally.wrong = 256;
        let wrong = warnings(&plan, &tally).concat();
        assert!(wrong.contains("--expect echo"), "{wrong}");
        assert!(!wrong.contains("is it serving?"), "{wrong}");
    }

    #[test]
    fn what_was_cut_off_stands_apart_from_what_was_lost() {
        let (plan, mut tally) = example();
        assert!(!text(&plan, &tally).contains("pending"));
        tally.pending = 7;
        assert!(text(&plan, &tally).contains("pending    7"));
        assert!(json(&plan, &tally).contains("\"pending\":7,"));
    }

    #[test]
    fn json_is_one_flat_object() {
        let (plan, tally) = example();
        let json = json(&plan, &tally);
        assert!(json.starts_with("{\"peers\":64,"), "{json}");
        assert!(json.contains("\"rate\":999.0,"), "{json}");
        assert!(json.contains("\"p999_us\":"), "{json}");
        assert!(json.ends_with('}'), "{json}");
    }
}
