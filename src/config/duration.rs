//! Durations as people write them: "250ms", "5s", "1h30m".

use std::fmt;
use std::time::Duration;

/// Units, greatest first, in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Longer than anything here may last; what is written beyond is refused before it can overflow.
pub const DURATION_MAX: Duration = Duration::from_secs(365 * 86_400);

/// Text that is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurationFault {
    /// A number alone.
    UnitMissing,
    /// A unit other than d, h, m, s, ms.
    UnitUnknown,
    /// A fraction, as in "1.5s".
    Fraction,
    /// A unit after an equal or smaller one, as in "5s1m".
    Order,
    /// No number where one should be.
    Number,
    /// More than [`DURATION_MAX`].
    TooLong,
}

/// Reads one or more numbers with their units, the greatest unit first, nothing between them.
pub fn parse_duration(text: &str) -> Result<Duration, DurationFault> {
    let mut rest = text;
    let mut millis: u64 = 0;
    let mut smallest = u64::MAX;
    loop {
        let (digits, tail) = split(rest, |c| c.is_ascii_digit());
        let (unit, tail) = split(tail, |c| !c.is_ascii_digit());
        if digits.is_empty() {
            return Err(DurationFault::Number);
        }
        let size = unit_millis(unit)?;
        if size >= smallest {
            return Err(DurationFault::Order);
        }
        let part = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(size));
        millis = part.and_then(|part| millis.checked_add(part)).ok_or(DurationFault::TooLong)?;
        if tail.is_empty() {
            break;
        }
        (rest, smallest) = (tail, size);
    }
    let duration = Duration::from_millis(millis);
    if duration > DURATION_MAX { Err(DurationFault::TooLong) } else { Ok(duration) }
}

/// Writes a duration the way [`parse_duration`] reads it, to the millisecond.
#[must_use]
pub fn write_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, size) in UNITS {
        if rest >= size {
            text += &format!("{}{unit}", rest / size);
            rest %= size;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

fn unit_millis(unit: &str) -> Result<u64, DurationFault> {
    match unit {
        "" => Err(DurationFault::UnitMissing),
        _ if unit.starts_with(['.', ',']) => Err(DurationFault::Fraction),
        _ => UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, size)| *size)
            .ok_or(DurationFault::UnitUnknown),
    }
}

/// The longest start of `text` whose characters all pass, and the rest.
fn split(text: &str, pass: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !pass(c)).unwrap_or(text.len()))
}

impl fmt::Display for DurationFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnitMissing => "the unit is missing",
            Self::UnitUnknown => "the unit is none of d, h, m, s, ms",
            Self::Fraction => "a duration is a whole number of each unit",
            Self::Order => "units go from the greatest to the smallest, each once",
            Self::Number => "a duration begins with a number",
            Self::TooLong => "the duration is longer than a year",
        })
    }
}

impl std::error::Error for DurationFault {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units_add_up() {
        for (text, millis) in
            [("5s", 5_000), ("250ms", 250), ("1m", 60_000), ("1h30m", 5_400_000), ("1d1ms", 86_400_001)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse_duration("0s"), Ok(Duration::ZERO));
    }

    #[test]
    fn what_is_no_duration_says_why() {
        for (text, fault) in [
            ("5", DurationFault::UnitMissing),
            ("1m30", DurationFault::UnitMissing),
            ("5 s", DurationFault::UnitUnknown),
            ("5sec", DurationFault::UnitUnknown),
            ("5S", DurationFault::UnitUnknown),
            ("1.5s", DurationFault::Fraction),
            ("5s1m", DurationFault::Order),
            ("5s5s", DurationFault::Order),
            ("", DurationFault::Number),
            ("s", DurationFault::Number),
            ("-5s", DurationFault::Number),
            ("366d", DurationFault::TooLong),
            ("99999999999999999999s", DurationFault::TooLong),
            ("18446744073709551615d", DurationFault::TooLong),
        ] {
            assert_eq!(parse_duration(text), Err(fault), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(millis in 0..=31_536_000_000_u64) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse_duration(&write_duration(duration)), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,12}") {
            let _ = parse_duration(&text);
        }
    }
}
