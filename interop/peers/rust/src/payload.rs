//! Payloads: hexadecimal, or the pattern `i mod 251`.

use crate::{fields, Failure};

/// Longer payloads are printed as the pattern.
const HEX_MAX: usize = 4096;

/// A wrong digit in a command must not exhaust memory.
pub const MAX: usize = 64 << 20;

fn pattern(at: usize) -> impl Iterator<Item = u8> {
    (at..).map(|i| (i % 251) as u8)
}

/// Reads a list of buffers. A pattern continues from one buffer to the next.
pub fn parse(word: &str, mut at: usize) -> Result<Vec<Vec<u8>>, Failure> {
    let mut bufs = Vec::new();
    for word in word.split(',') {
        let buf = match word.strip_prefix('@') {
            Some(count) => pattern(at).take(fields::integer(count, 1..=MAX)?).collect(),
            None => hex(word).ok_or(Failure::Unsupported)?,
        };
        at += buf.len();
        bufs.push(buf);
    }
    Ok(bufs)
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

fn hex(word: &str) -> Option<Vec<u8>> {
    if word == "-" {
        return Some(Vec::new());
    }
    let digit = |c: &u8| DIGITS.iter().position(|d| d == c);
    let pairs = word.as_bytes().chunks(2);
    let bytes = pairs.map(|pair| match pair {
        [high, low] => Some(((digit(high)? << 4) | digit(low)?) as u8),
        _ => None,
    });
    bytes.collect::<Option<Vec<_>>>().filter(|b| !b.is_empty())
}

/// Formats a received payload. A long one is compared with the pattern from `at`.
pub fn format(bytes: &[u8], at: usize) -> String {
    if bytes.is_empty() {
        return "-".to_string();
    }
    if bytes.len() <= HEX_MAX {
        let digits = bytes.iter().flat_map(|b| [b >> 4, b & 15]);
        return digits.map(|d| DIGITS[d as usize] as char).collect();
    }
    match bytes.iter().zip(pattern(at)).position(|(a, b)| *a != b) {
        Some(offset) => format!("!{offset}"),
        None => format!("@{}", bytes.len()),
    }
}
