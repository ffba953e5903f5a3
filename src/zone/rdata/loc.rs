//! LOC (RFC 1876): where on earth. Angles in thousandths of arc seconds from 2^31, heights in centimetres from
//! 100,000 m below the spheroid, sizes in centimetres as a digit and a power of ten.

use std::fmt;

use super::fault::{self, Noun, RdataFault};
use super::number::fixed_point;
use super::tokens::{Tokens, Word};

const OCTETS: usize = 16;
const EQUATOR: u32 = 1 << 31;
const DEGREE: u32 = 3_600_000;
const ALTITUDE_ZERO: i64 = 10_000_000;
/// Size 1 m, horizontal precision 10 km, vertical precision 10 m (RFC 1876 section 3).
const SIZE_DEFAULTS: [u8; 3] = [0x12, 0x16, 0x13];
/// The largest size in centimetres: 9 times 10^9.
const SIZE_MAX: u64 = 9_000_000_000;

pub(super) fn read(tokens: &mut Tokens, out: &mut Vec<u8>) -> Result<(), RdataFault> {
    let latitude = read_angle(tokens, 90, *b"NS", fault::LATITUDE)?;
    let longitude = read_angle(tokens, 180, *b"EW", fault::LONGITUDE)?;
    let altitude = read_altitude(tokens.next(fault::ALTITUDE)?)?;
    out.push(0);
    for default in SIZE_DEFAULTS {
        out.push(match tokens.take() {
            Some(word) => read_size(word)?,
            None => default,
        });
    }
    for number in [latitude, longitude, altitude] {
        out.extend(number.to_be_bytes());
    }
    Ok(())
}

fn read_angle(tokens: &mut Tokens, limit: u64, hemispheres: [u8; 2], noun: Noun) -> Result<u32, RdataFault> {
    let mut total = 0;
    for (unit, places, below) in [(DEGREE, 0, limit + 1), (60_000, 0, 60), (1, 3, 60_000)] {
        let word = tokens.next(noun)?;
        let number =
            fixed_point(word.text, places).filter(|&number| number < below).ok_or(word.unfit(noun))?;
        total += u32::try_from(number).expect("it is below the bound") * unit;
        let word = tokens.peek();
        let hemisphere = word.map_or(&b""[..], |word| word.text);
        let side = hemispheres.iter().position(|side| hemisphere.eq_ignore_ascii_case(&[*side]));
        match (side, word) {
            (Some(side), Some(word)) => {
                tokens.take();
                let fits = u64::from(total) <= limit * u64::from(DEGREE);
                let angle = if side == 0 { EQUATOR + total } else { EQUATOR - total };
                return if fits { Ok(angle) } else { Err(word.unfit(noun)) };
            }
            _ if unit == 1 => break,
            _ => {}
        }
    }
    let word = tokens.next(noun)?;
    Err(word.unfit(noun))
}

fn read_altitude(word: Word) -> Result<u32, RdataFault> {
    let text = without_unit(word.text);
    let (sign, digits) = text.strip_prefix(b"-").map_or((1, text), |digits| (-1, digits));
    let centimetres = fixed_point(digits, 2).and_then(|height| i64::try_from(height).ok());
    let height =
        centimetres.and_then(|height| u32::try_from((sign * height).checked_add(ALTITUDE_ZERO)?).ok());
    height.ok_or(word.unfit(fault::ALTITUDE))
}

/// As BIND does, digits after the first are lost: the wire form holds but one.
fn read_size(word: Word) -> Result<u8, RdataFault> {
    let size = fixed_point(without_unit(word.text), 2).filter(|&size| size <= SIZE_MAX);
    let mut mantissa = size.ok_or(word.unfit(fault::SIZE))?;
    let mut exponent = 0;
    while mantissa > 9 {
        mantissa /= 10;
        exponent += 1;
    }
    Ok((mantissa as u8) << 4 | exponent)
}

fn without_unit(text: &[u8]) -> &[u8] {
    text.strip_suffix(b"m").or(text.strip_suffix(b"M")).unwrap_or(text)
}

pub(super) fn length(rest: &[u8]) -> Option<usize> {
    let octets = rest.get(..OCTETS)?;
    let sizes_fit =
        octets[1..4].iter().all(|&size| matches!((size >> 4, size & 15), (0, 0) | (1..=9, 0..=9)));
    let (latitude, longitude, _) = numbers(octets);
    let angles_fit = latitude.abs_diff(EQUATOR) <= 90 * DEGREE && longitude.abs_diff(EQUATOR) <= 180 * DEGREE;
    (octets[0] == 0 && sizes_fit && angles_fit).then_some(OCTETS)
}

/// Latitude, longitude and altitude as they travel.
fn numbers(octets: &[u8]) -> (u32, u32, u32) {
    let number = |at: usize| u32::from_be_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]]);
    (number(4), number(8), number(12))
}

pub(super) fn show(octets: &[u8], out: &mut dyn fmt::Write) -> fmt::Result {
    let (latitude, longitude, altitude) = numbers(octets);
    show_angle(latitude, ['N', 'S'], out)?;
    show_angle(longitude, ['E', 'W'], out)?;
    let altitude = i64::from(altitude) - ALTITUDE_ZERO;
    let sign = if altitude < 0 { "-" } else { "" };
    write!(out, "{sign}{}.{:02}m", altitude.abs() / 100, altitude.abs() % 100)?;
    for &size in &octets[1..4] {
        let centimetres = u64::from(size >> 4) * 10u64.pow(u32::from(size & 15));
        match centimetres {
            0..100 => write!(out, " 0.{centimetres:02}m")?,
            _ => write!(out, " {}m", centimetres / 100)?,
        }
    }
    Ok(())
}

fn show_angle(angle: u32, hemispheres: [char; 2], out: &mut dyn fmt::Write) -> fmt::Result {
    let side = hemispheres[usize::from(angle < EQUATOR)];
    let angle = angle.abs_diff(EQUATOR);
    let (degrees, minutes, thousandths) = (angle / DEGREE, angle / 60_000 % 60, angle % 60_000);
    write!(out, "{degrees} {minutes} {}.{:03} {side} ", thousandths / 1000, thousandths % 1000)
}
