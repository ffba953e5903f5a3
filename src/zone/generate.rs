//! `$GENERATE start-stop[/step]`, a convention of BIND: one record for each number, in whose text `$` stands for
//! the number and `${offset,width,base}` for a form of it.

use std::fmt;
use std::io::Write;

use super::rdata::decimal;

/// The widest number, in characters.
const WIDTH_MAX: usize = 255;

/// The numbers, from `start` to at most `stop`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: u32,
    pub(super) stop: u32,
    pub(super) step: u32,
}

/// What is wrong with a `$GENERATE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GenerateFault {
    Range,
    Form,
    Negative,
}

impl Range {
    /// Reads `start-stop` or `start-stop/step`.
    pub(super) fn parse(text: &[u8]) -> Result<Self, GenerateFault> {
        let (range, step) = split(text, b'/').unwrap_or((text, b"1"));
        let (start, stop) = split(range, b'-').ok_or(GenerateFault::Range)?;
        let number = |text| {
            let number = decimal(text).and_then(|number| i32::try_from(number).ok());
            number.map(i32::unsigned_abs).ok_or(GenerateFault::Range)
        };
        let range = Self { start: number(start)?, stop: number(stop)?, step: number(step)? };
        if range.start > range.stop || range.step == 0 { Err(GenerateFault::Range) } else { Ok(range) }
    }

    /// How many numbers there are.
    pub(super) fn count(self) -> usize {
        ((self.stop - self.start) / self.step) as usize + 1
    }

    pub(super) fn numbers(self) -> impl Iterator<Item = u32> {
        (self.start..=self.stop).step_by(self.step as usize)
    }
}

fn split(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|&octet| octet == separator)?;
    Some((&text[..at], &text[at + 1..]))
}

/// Replaces `out` by the template with `number` in its places; `$$` stands for a dollar sign.
pub(super) fn expand(template: &[u8], number: u32, out: &mut Vec<u8>) -> Result<(), GenerateFault> {
    out.clear();
    let mut rest = template;
    while let Some((&octet, tail)) = rest.split_first() {
        rest = tail;
        match (octet, tail) {
            (b'\\', [escaped, tail @ ..]) => {
                out.extend([octet, *escaped]);
                rest = tail;
            }
            (b'$', [b'$', tail @ ..]) => {
                out.push(b'$');
                rest = tail;
            }
            (b'$', [b'{', tail @ ..]) => {
                let (form, tail) = split(tail, b'}').ok_or(GenerateFault::Form)?;
                rest = tail;
                write_form(form, number, out)?;
            }
            (b'$', _) => out.extend(number.to_string().bytes()),
            _ => out.push(octet),
        }
    }
    Ok(())
}

/// Writes the number as `offset[,width[,base]]` asks.
fn write_form(form: &[u8], number: u32, out: &mut Vec<u8>) -> Result<(), GenerateFault> {
    let mut parts = form.split(|&octet| octet == b',');
    let offset = parts.next().unwrap_or_default();
    let (negative, digits) = offset.strip_prefix(b"-").map_or((false, offset), |digits| (true, digits));
    let offset = decimal(digits).and_then(|offset| i64::try_from(offset).ok()).ok_or(GenerateFault::Form)?;
    let number = i64::from(number).checked_add(if negative { -offset } else { offset });
    let number = number.and_then(|number| u64::try_from(number).ok()).ok_or(GenerateFault::Negative)?;
    let width = parts.next().map_or(Some(0), decimal).and_then(|width| usize::try_from(width).ok());
    let width = width.filter(|&width| width <= WIDTH_MAX).ok_or(GenerateFault::Form)?;
    let base = parts.next().unwrap_or(b"d");
    if parts.next().is_some() {
        return Err(GenerateFault::Form);
    }
    match base {
        b"d" => write!(out, "{number:0width$}"),
        b"o" => write!(out, "{number:0width$o}"),
        b"x" => write!(out, "{number:0width$x}"),
        b"X" => write!(out, "{number:0width$X}"),
        b"n" | b"N" => {
            write_nibbles(number, width, base == b"N", out);
            Ok(())
        }
        _ => return Err(GenerateFault::Form),
    }
    .expect("writing to memory does not fail");
    Ok(())
}

/// Hexadecimal digits from the last to the first with dots between, as `ip6.arpa` has them; dots count as width.
fn write_nibbles(number: u64, width: usize, upper: bool, out: &mut Vec<u8>) {
    let digits: &[u8; 16] = if upper { b"0123456789ABCDEF" } else { b"0123456789abcdef" };
    let start = out.len();
    let mut rest = number;
    loop {
        out.push(digits[(rest & 15) as usize]);
        rest >>= 4;
        if rest == 0 && out.len() - start >= width {
            return;
        }
        out.push(b'.');
        if rest == 0 && out.len() - start >= width {
            return;
        }
    }
}

impl GenerateFault {
    pub(super) fn help(self) -> &'static str {
        match self {
            Self::Range => {
                "write START-STOP or START-STOP/STEP, numbers up to 2147483647, START not above STOP"
            }
            Self::Form => {
                "write ${OFFSET}, ${OFFSET,WIDTH} or ${OFFSET,WIDTH,BASE}, the base one of d o x X n N"
            }
            Self::Negative => "let the range start at the offset",
        }
    }
}

impl fmt::Display for GenerateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Range => "this is no range of numbers",
            Self::Form => "this holds a ${...} that is no form of a number",
            Self::Negative => "the offset makes a number negative",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(template: &str, number: u32) -> Result<String, GenerateFault> {
        let mut out = Vec::new();
        expand(template.as_bytes(), number, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn ranges_have_a_start_a_stop_and_perhaps_a_step() {
        assert_eq!(Range::parse(b"1-9/4"), Ok(Range { start: 1, stop: 9, step: 4 }));
        assert_eq!(Range::parse(b"1-9/4").unwrap().numbers().collect::<Vec<_>>(), [1, 5, 9]);
        assert_eq!(Range::parse(b"0-0").unwrap().count(), 1);
        assert_eq!(Range::parse(b"0-2147483647").unwrap().count(), 1 << 31);
        for text in ["", "1", "2-1", "1-2/0", "-1-2", "1-2147483648", "1-2/x", "1-2-3"] {
            assert_eq!(Range::parse(text.as_bytes()), Err(GenerateFault::Range), "{text}");
        }
    }

    #[test]
    fn dollars_become_numbers() {
        for (template, number, expected) in [
            ("h$ A 10.0.0.$", 7, "h7 A 10.0.0.7"),
            ("$$ \\$ $", 7, "$ \\$ 7"),
            ("${0,3,d}-${1,3,x}-${-1,0,X}-${0,4,o}", 11, "011-00c-A-0013"),
            ("${0,0,n}", 0x2f1, "1.f.2"),
            ("${0,7,N}", 0xf, "F.0.0.0"),
            ("${0,2,n}", 1, "1."),
            ("${5}", 1, "6"),
        ] {
            assert_eq!(expanded(template, number).as_deref(), Ok(expected), "{template}");
        }
        for template in ["${", "${}", "${a}", "${0,x}", "${0,1,q}", "${0,1,d,1}", "${0,256}"] {
            assert_eq!(expanded(template, 1), Err(GenerateFault::Form), "{template}");
        }
        assert_eq!(expanded("${-2}", 1), Err(GenerateFault::Negative));
    }
}
