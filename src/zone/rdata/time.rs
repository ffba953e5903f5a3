//! The times of signatures (RFC 4034 section 3.2): seconds since 1970, written as a date in UTC.

use std::fmt;

/// Reads `YYYYMMDDHHMMSS`, or seconds since 1970 in at most ten digits.
pub fn parse(text: &[u8]) -> Option<u32> {
    let number = super::decimal(text)?;
    if text.len() != 14 {
        return if text.len() <= 10 { u32::try_from(number).ok() } else { None };
    }
    let part = |divisor: u64, modulus: u64| number / divisor % modulus;
    let (year, month, day) = (part(10_000_000_000, 10_000), part(100_000_000, 100), part(1_000_000, 100));
    let (hour, minute, second) = (part(10_000, 100), part(100, 100), part(1, 100));
    let exists = (1..=12).contains(&month) && day >= 1 && day <= month_days(year, month);
    if year < 1970 || !exists || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = year_days(year) + (1..month).map(|month| month_days(year, month)).sum::<u64>() + day - 1;
    u32::try_from(((days * 24 + hour) * 60 + minute) * 60 + second).ok()
}

/// Writes `YYYYMMDDHHMMSS`.
pub fn show(seconds: u32, out: &mut dyn fmt::Write) -> fmt::Result {
    let mut days = u64::from(seconds) / 86_400;
    let mut year = 1970 + days / 366;
    while year_days(year + 1) <= days {
        year += 1;
    }
    days -= year_days(year);
    let mut month = 1;
    while days >= month_days(year, month) {
        days -= month_days(year, month);
        month += 1;
    }
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    write!(out, "{year:04}{month:02}{:02}{hour:02}{minute:02}{second:02}", days + 1)
}

/// Days from 1970 to the start of a year.
fn year_days(year: u64) -> u64 {
    let leap_days = |year: u64| year / 4 - year / 100 + year / 400;
    (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969)
}

fn month_days(year: u64, month: u64) -> u64 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(seconds: u32) -> String {
        let mut text = String::new();
        show(seconds, &mut text).unwrap();
        text
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(shown(0), "19700101000000");
        assert_eq!(shown(951_782_400), "20000229000000");
        assert_eq!(shown(1_767_225_599), "20251231235959");
        assert_eq!(shown(u32::MAX), "21060207062815");
        assert_eq!(parse(b"4294967295"), Some(u32::MAX));
        for text in
            ["20260229000000", "20261301000000", "20260100000000", "20260101240000", "21060207062816", "2026"]
        {
            assert_eq!(parse(text.as_bytes()), (text == "2026").then_some(2026), "{text}");
        }
        assert_eq!(parse(b"202601010000"), None);
    }

    proptest! {
        #[test]
        fn every_time_is_read_as_shown(seconds: u32) {
            prop_assert_eq!(parse(shown(seconds).as_bytes()), Some(seconds));
        }
    }
}
