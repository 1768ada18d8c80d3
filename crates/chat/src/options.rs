//! Values of command-line options.

use std::time::Duration;

/// Reads a time in seconds, whole or not, greater than zero.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text
        .parse()
        .map_err(|_| format!("{text:?} is not a number"))?;
    match Duration::try_from_secs_f64(number) {
        Ok(time) if time > Duration::ZERO && time <= LONGEST => Ok(time),
        _ => Err(format!(
            "{text} is not between 0 and {} seconds",
            LONGEST.as_secs()
        )),
    }
}

/// A year: beyond it, adding to the time of day might overflow somewhere.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_may_be_fractions_but_not_nonsense() {
        assert_eq!(seconds("60"), Ok(Duration::from_secs(60)));
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        for text in ["0", "-1", "NaN", "inf", "1e300", "soon", ""] {
            assert!(seconds(text).is_err(), "{text:?}");
        }
    }
}
