//! A peer for scm interop: it reads commands on standard input and answers on standard output.
//! Call your library in `library_send` and `library_recv`.
//!
//!     rustc -O peer.rs

use std::collections::BTreeMap;
use std::io::{BufRead, Write as _};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

enum Failure {
    Unsupported,
    #[allow(dead_code)] // until there is a library
    Errno(i32),
}
use Failure::Unsupported;

/// Sends the payload and the descriptors, and returns the count that the library reports.
fn library_send(_sock: RawFd, _payload: &[u8], _fds: &[RawFd]) -> Result<usize, Failure> {
    Err(Unsupported)
}

/// Receives at most so many bytes and descriptors.
fn library_recv(
    _sock: RawFd,
    _most: usize,
    _room: usize,
) -> Result<(Vec<u8>, Vec<RawFd>), Failure> {
    Err(Unsupported)
}

fn number(text: &str) -> Result<usize, Failure> {
    let n: usize = text.parse().map_err(|_| Unsupported)?;
    if n.to_string() == text {
        Ok(n)
    } else {
        Err(Unsupported)
    }
}

fn numbers(text: &str) -> Result<Vec<RawFd>, Failure> {
    if text == "-" {
        return Ok(Vec::new());
    }
    text.split(',')
        .map(|word| word.parse().map_err(|_| Unsupported))
        .collect()
}

/// The bytes that `@N` stands for.
fn pattern(length: usize, at: usize) -> Vec<u8> {
    (0..length).map(|i| ((at + i) % 251) as u8).collect()
}

fn shown(payload: &[u8], at: usize) -> String {
    if payload.len() > 4096 {
        let wanted = pattern(payload.len(), at);
        let other = payload.iter().zip(&wanted).position(|(a, b)| a != b);
        return other.map_or(format!("@{}", payload.len()), |i| format!("!{i}"));
    }
    if payload.is_empty() {
        return "-".to_string();
    }
    payload.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(text: &str, at: usize) -> Result<Vec<u8>, Failure> {
    if let Some(length) = text.strip_prefix('@') {
        return Ok(pattern(number(length)?, at));
    }
    let text = if text == "-" { "" } else { text };
    if !text.is_ascii() || text.len() % 2 == 1 {
        return Err(Unsupported);
    }
    let pairs = (0..text.len()).step_by(2).map(|i| &text[i..i + 2]);
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).map_err(|_| Unsupported))
        .collect()
}

/// The socket of the case, its files, and what was received.
struct Held(Vec<RawFd>);

impl Held {
    fn close(&mut self, fds: &[RawFd]) -> Result<(), Failure> {
        if fds.iter().any(|fd| !self.0.contains(fd)) {
            return Err(Unsupported);
        }
        for fd in fds {
            self.0.retain(|held| held != fd);
            // SAFETY: the number is this peer's: the runner gave it, or the library returned it.
            drop(unsafe { OwnedFd::from_raw_fd(*fd) });
        }
        Ok(())
    }

    fn recv(&mut self, most: usize, room: usize, at: usize) -> Result<String, Failure> {
        let (payload, fds) = library_recv(self.0[0], most, room)?;
        self.0.extend(&fds);
        let list: Vec<String> = fds.iter().map(RawFd::to_string).collect();
        let list = if list.is_empty() {
            "-".to_string()
        } else {
            list.join(",")
        };
        Ok(format!(
            "ok n={} payload={} fds={list}",
            payload.len(),
            shown(&payload, at)
        ))
    }

    fn answer(&mut self, line: &str) -> Result<String, Failure> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words = rest.split(' ').filter(|word| !word.is_empty());
        let mut fields: BTreeMap<&str, &str> = words
            .map(|word| word.split_once('=').unwrap_or((word, "")))
            .collect();
        let at = number(fields.remove("at").unwrap_or("0"))?;
        let names: Vec<&str> = fields.keys().copied().collect();
        match (verb, names.as_slice()) {
            ("hello", []) => {
                return Ok(
                    "ok name=mine lang=rust version=0 can=stream,dgram,seqpacket,multi".to_string(),
                )
            }
            ("send", ["fds", "payload"]) if !self.0.is_empty() => {
                let n = library_send(
                    self.0[0],
                    &bytes(fields["payload"], at)?,
                    &numbers(fields["fds"])?,
                )?;
                return Ok(format!("ok n={n}"));
            }
            ("recv", ["bytes", "fds"]) if !self.0.is_empty() => {
                return self.recv(number(fields["bytes"])?, number(fields["fds"])?, at);
            }
            ("close", ["fds"]) => self.close(&numbers(fields["fds"])?)?,
            ("use", ["fds", "sock"]) => {
                self.close(&self.0.clone())?;
                self.0.push(
                    number(fields["sock"])?
                        .try_into()
                        .map_err(|_| Unsupported)?,
                );
                self.0.extend(numbers(fields["fds"])?);
            }
            ("end", []) => self.close(&self.0.clone())?,
            _ => return Err(Unsupported),
        }
        Ok("ok".to_string())
    }
}

fn main() -> std::io::Result<()> {
    let mut held = Held(Vec::new());
    for line in std::io::stdin().lock().lines() {
        let said = held.answer(&line?).unwrap_or_else(|failure| match failure {
            Unsupported => "unsupported".to_string(),
            Failure::Errno(errno) => format!("err {errno}"),
        });
        println!("{said}");
        std::io::stdout().flush()?;
    }
    Ok(())
}
