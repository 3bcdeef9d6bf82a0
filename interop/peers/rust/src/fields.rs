//! The words of a command line.

use crate::Failure;
use std::ops::RangeInclusive;
use std::os::fd::RawFd;

/// The fields of a command that have not been taken yet.
pub struct Fields<'a>(Vec<(&'a str, &'a str)>);

/// Splits a line into its verb and its fields.
pub fn parse(line: &str) -> Result<(&str, Fields<'_>), Failure> {
    let mut words = line.split(' ');
    let verb = words.next().unwrap_or_default();
    let mut fields = Vec::new();
    for word in words {
        let (key, value) = word.split_once('=').ok_or(Failure::Unsupported)?;
        if fields.iter().any(|&(other, _)| other == key) {
            return Err(Failure::Unsupported);
        }
        fields.push((key, value));
    }
    Ok((verb, Fields(fields)))
}

impl<'a> Fields<'a> {
    pub fn take(&mut self, key: &str) -> Result<&'a str, Failure> {
        let place = self.0.iter().position(|&(other, _)| other == key);
        let place = place.ok_or(Failure::Unsupported)?;
        Ok(self.0.swap_remove(place).1)
    }

    pub fn take_or(&mut self, key: &str, default: &'a str) -> &'a str {
        self.take(key).unwrap_or(default)
    }

    pub fn take_or_none(&mut self, key: &str) -> &'a str {
        self.take_or(key, "-")
    }

    /// Rejects a command if any field has not been taken.
    pub fn end(&self) -> Result<(), Failure> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(Failure::Unsupported)
    }
}

/// Reads a count or another integer that is written as it would be printed.
pub fn integer(word: &str, range: RangeInclusive<usize>) -> Result<usize, Failure> {
    let number = word.parse().ok().filter(|n| range.contains(n));
    let number = number.filter(|n: &usize| n.to_string() == word);
    number.ok_or(Failure::Unsupported)
}

/// Reads a list of descriptors, which may be negative.
pub fn list(word: &str) -> Result<Vec<RawFd>, Failure> {
    if word == "-" {
        return Ok(Vec::new());
    }
    let fds = word.split(',').map(|word| {
        let fd = word.parse().ok();
        fd.filter(|fd: &RawFd| fd.to_string() == word)
    });
    fds.collect::<Option<_>>().ok_or(Failure::Unsupported)
}

pub fn join<S: AsRef<str>>(words: &[S]) -> String {
    if words.is_empty() {
        return "-".to_string();
    }
    let words: Vec<_> = words.iter().map(AsRef::as_ref).collect();
    words.join(",")
}
