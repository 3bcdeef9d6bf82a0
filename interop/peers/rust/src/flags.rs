//! Names of MSG_ flags.

use crate::{fields, Failure};

type Names = &'static [(&'static str, i32)];

pub const SEND: Names = &[
    ("dontwait", libc::MSG_DONTWAIT),
    ("nosignal", libc::MSG_NOSIGNAL),
    ("eor", libc::MSG_EOR),
    ("oob", libc::MSG_OOB),
    ("more", libc::MSG_MORE),
];

pub const RECV: Names = &[
    ("dontwait", libc::MSG_DONTWAIT),
    ("peek", libc::MSG_PEEK),
    ("trunc", libc::MSG_TRUNC),
    ("waitall", libc::MSG_WAITALL),
    ("oob", libc::MSG_OOB),
];

const RETURNED: Names = &[
    ("ctrunc", libc::MSG_CTRUNC),
    ("trunc", libc::MSG_TRUNC),
    ("eor", libc::MSG_EOR),
    ("oob", libc::MSG_OOB),
];

/// Returns the bits for a list of names.
pub fn parse(word: &str, names: Names) -> Result<i32, Failure> {
    if word == "-" {
        return Ok(0);
    }
    let bit = |word| names.iter().find(|(name, _)| *name == word);
    word.split(',').try_fold(0, |bits, word| {
        let (_, bit) = bit(word).ok_or(Failure::Unsupported)?;
        Ok(bits | bit)
    })
}

/// Returns the names of bits. MSG_CMSG_CLOEXEC, which Linux also returns, is left out.
pub fn format(bits: i32) -> String {
    let mut rest = bits & !libc::MSG_CMSG_CLOEXEC;
    let mut words = Vec::new();
    for (name, bit) in RETURNED {
        if rest & bit != 0 {
            words.push(name.to_string());
            rest &= !bit;
        }
    }
    if rest != 0 {
        words.push(format!("{rest:#x}"));
    }
    fields::join(&words)
}
