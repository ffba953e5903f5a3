//! Numbers and time spans as master files write them.

/// A number of decimal digits only.
pub(in crate::zone) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |number, &digit| match digit {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

/// Seconds, or numbers each with a unit: `1w2d3h4m5s`, in any case and order.
pub(in crate::zone) fn period(text: &[u8]) -> Option<u32> {
    if let Some(seconds) = decimal(text) {
        return u32::try_from(seconds).ok();
    }
    let mut total = 0u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.iter().take_while(|octet| octet.is_ascii_digit()).count();
        let seconds = match rest.get(digits)?.to_ascii_lowercase() {
            b's' => 1,
            b'm' => 60,
            b'h' => 3600,
            b'd' => 86_400,
            b'w' => 604_800,
            _ => return None,
        };
        total = total.checked_add(decimal(&rest[..digits])?.checked_mul(seconds)?)?;
        rest = &rest[digits + 1..];
    }
    if text.is_empty() { None } else { u32::try_from(total).ok() }
}

/// A number with at most `places` decimals, in units of the last of them: `1.5` with 2 places is 150.
pub(super) fn fixed_point(text: &[u8], places: u32) -> Option<u64> {
    let dot = text.iter().position(|&octet| octet == b'.').unwrap_or(text.len());
    let fraction = text.get(dot + 1..).unwrap_or_default();
    let missing = places.checked_sub(u32::try_from(fraction.len()).ok()?)?;
    let fraction = if fraction.is_empty() { 0 } else { decimal(fraction)? };
    decimal(&text[..dot])?.checked_mul(10u64.pow(places))?.checked_add(fraction * 10u64.pow(missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_digits_only() {
        assert_eq!(decimal(b"0042"), Some(42));
        for text in ["", "+1", "-1", "1 ", "0x1", "99999999999999999999"] {
            assert_eq!(decimal(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn time_spans_have_units() {
        assert_eq!(period(b"1h30m"), Some(5400));
        assert_eq!(period(b"1W2D"), Some(777_600));
        assert_eq!(period(b"4294967295"), Some(u32::MAX));
        for text in ["", "h", "1h30", "1y", "4294967296", "8000w", "-1"] {
            assert_eq!(period(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn decimals_are_counted_exactly() {
        assert_eq!(fixed_point(b"1.5", 2), Some(150));
        assert_eq!(fixed_point(b"3", 3), Some(3000));
        assert_eq!(fixed_point(b"0.007", 3), Some(7));
        for text in ["", ".5", "1.234", "1.-2", "1.2.3"] {
            assert_eq!(fixed_point(text.as_bytes(), 2), None, "{text}");
        }
    }
}
