//! The counts, for people and for programs.

use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::load::{Plan, Tally};

/// Several lines for people.
pub(crate) fn text(plan: &Plan, tally: &Tally) -> String {
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
    line("sent", tally.sent.to_string());
    line("answered", tally.answered.to_string());
    let percent = 100.0 * tally.loss();
    let late = tally.late;
    line(
        "lost",
        format!("{} ({percent:.3} %), of which late {late}", tally.lost),
    );
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

/// One JSON object: counts, seconds, and microseconds for latency.
pub(crate) fn json(plan: &Plan, tally: &Tally) -> String {
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
        ("sent".to_owned(), tally.sent.to_string()),
        ("answered".to_owned(), tally.answered.to_string()),
        ("lost".to_owned(), tally.lost.to_string()),
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

/// What may be the matter if nothing was answered as expected.
pub(crate) fn hint(plan: &Plan, tally: &Tally) -> Option<String> {
    let server = plan.server;
    match (tally.answered, tally.wrong) {
        (0, 0) => Some(format!("no reply from {server}: is it serving?")),
        (0, _) => Some(format!(
            "{server} replies, and never as expected: see --expect"
        )),
        _ => None,
    }
}

const WIDEST: f64 = 50.0;

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::options::Options;

    fn example() -> (Plan, Tally) {
        let options = Options::parse_from(["udp_load", "127.0.0.1:9"]);
        let mut tally = Tally::new();
        tally.sent = 1_000;
        tally.answered = 999;
        tally.answered_sending = 999;
        tally.lost = 1;
        tally.sending = Duration::from_secs(1);
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
    fn silence_and_wrong_replies_are_told_apart() {
        let (plan, mut tally) = example();
        assert_eq!(hint(&plan, &tally), None);
        tally.answered = 0;
        let silent = hint(&plan, &tally).expect("nothing was answered");
        assert!(silent.ends_with("is it serving?"), "{silent}");
        tally.wrong = 256;
        let wrong = hint(&plan, &tally).expect("nothing was answered");
        assert!(wrong.ends_with("see --expect"), "{wrong}");
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
