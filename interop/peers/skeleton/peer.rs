//! A peer for scm interop: it reads commands on standard input and answers on standard output.
//! Call your library in `library_send` and `library_recv`. Return `Unsupported` if it has no
//! interface for the command. The operator `?` turns an `io::Error` into an error answer.
//!
//!     rustc --edition 2021 -O peer.rs
//!     ./peer
//!
//! If the library is a crate, make this file src/main.rs of a new package instead: `cargo init`, then
//! `cargo add CRATE` and `cargo build --release`. The peer is the program in target/release.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, Write as _};
use std::ops::RangeInclusive;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

enum Failure {
    Unsupported,
    Errno(i32),
    Library(String),
}
use Failure::Unsupported;

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(errno @ 1..=4095) => Failure::Errno(errno),
            _ => Failure::Library(error.to_string()),
        }
    }
}

struct Received {
    payload: Vec<u8>,
    fds: Vec<RawFd>,
    flags: Option<i32>, // msg_flags, if the library reports them
}

/// Sends the payload and the descriptors, and returns the count that the library reports. The socket
/// and the descriptors are borrowed: a `UnixStream` or an `OwnedFd` must not close them when it is
/// dropped, so wrap it in `ManuallyDrop`.
fn library_send(_sock: RawFd, _payload: &[u8], _fds: &[RawFd]) -> Result<usize, Failure> {
    Err(Unsupported)
}

/// Receives at most this many bytes and descriptors. The socket is borrowed here too.
fn library_recv(_sock: RawFd, _most: usize, _room: usize) -> Result<Received, Failure> {
    Err(Unsupported)
}

const MAX_PAYLOAD: i32 = 64 << 20;

/// Reads an integer that is written as it would be printed.
fn integer(text: &str, range: RangeInclusive<i32>) -> Result<i32, Failure> {
    match text.parse() {
        Ok(n) if range.contains(&n) && n.to_string() == text => Ok(n),
        _ => Err(Unsupported),
    }
}

fn integers(text: &str, range: RangeInclusive<i32>) -> Result<Vec<RawFd>, Failure> {
    if text == "-" {
        return Ok(Vec::new());
    }
    text.split(',')
        .map(|word| integer(word, range.clone()))
        .collect()
}

/// Returns the bytes of the payload `@N`.
fn pattern(length: usize, at: usize) -> Vec<u8> {
    (0..length).map(|i| ((at + i) % 251) as u8).collect()
}

fn payload_of(text: &str, at: usize) -> Result<Vec<u8>, Failure> {
    if text == "-" {
        return Ok(Vec::new());
    }
    if let Some(length) = text.strip_prefix('@') {
        return Ok(pattern(integer(length, 1..=MAX_PAYLOAD)? as usize, at));
    }
    let digit = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
    if text.is_empty() || text.len() % 2 == 1 || !text.bytes().all(digit) {
        return Err(Unsupported);
    }
    let pairs = (0..text.len()).step_by(2).map(|i| &text[i..i + 2]);
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).map_err(|_| Unsupported))
        .collect()
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

fn shown_flags(flags: i32) -> String {
    let mut rest = flags & !0x4000_0000; // MSG_CMSG_CLOEXEC is not reported
    let mut names = Vec::new();
    for (name, bit) in [("oob", 1), ("ctrunc", 8), ("trunc", 0x20), ("eor", 0x80)] {
        if rest & bit != 0 {
            names.push(name.to_string());
            rest &= !bit;
        }
    }
    if rest != 0 {
        names.push(format!("{rest:#x}"));
    }
    list(&names)
}

fn list<T: ToString>(items: &[T]) -> String {
    if items.is_empty() {
        return "-".to_string();
    }
    let words: Vec<String> = items.iter().map(T::to_string).collect();
    words.join(",")
}

#[derive(Default)]
struct Peer {
    sock: RawFd,
    held: BTreeSet<RawFd>, // the socket, its files, and the descriptors received
}

impl Peer {
    fn close(&mut self, fds: &[RawFd]) -> Result<(), Failure> {
        if fds.iter().any(|fd| !self.held.contains(fd)) {
            return Err(Unsupported);
        }
        for fd in fds {
            if self.held.remove(fd) {
                // SAFETY: the runner gave the descriptor to this peer, or the library returned it.
                drop(unsafe { OwnedFd::from_raw_fd(*fd) });
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Failure> {
        let held: Vec<RawFd> = self.held.iter().copied().collect();
        self.close(&held)
    }

    fn send(&self, fields: &BTreeMap<&str, &str>, at: usize) -> Result<String, Failure> {
        let payload = payload_of(fields["payload"], at)?;
        let fds = integers(fields["fds"], i32::MIN..=i32::MAX)?;
        if !self.held.contains(&self.sock) {
            return Err(Unsupported);
        }
        let n = library_send(self.sock, &payload, &fds)?;
        Ok(format!("ok n={n}"))
    }

    fn recv(&mut self, fields: &BTreeMap<&str, &str>, at: usize) -> Result<String, Failure> {
        let most = integer(fields["bytes"], 0..=MAX_PAYLOAD)? as usize;
        let room = integer(fields["fds"], 0..=65535)? as usize;
        if !self.held.contains(&self.sock) {
            return Err(Unsupported);
        }
        let r = library_recv(self.sock, most, room)?;
        self.held.extend(&r.fds);
        let (n, payload, fds) = (r.payload.len(), shown(&r.payload, at), list(&r.fds));
        let flags = r.flags.map(shown_flags);
        let flags = flags.map_or(String::new(), |flags| format!(" flags={flags}"));
        Ok(format!("ok n={n} payload={payload} fds={fds}{flags}"))
    }

    fn begin(&mut self, fields: &BTreeMap<&str, &str>) -> Result<(), Failure> {
        let sock = integer(fields["sock"], 0..=i32::MAX)?;
        let fds = integers(fields.get("fds").unwrap_or(&"-"), 0..=i32::MAX)?;
        self.end()?;
        self.sock = sock;
        self.held.insert(sock);
        self.held.extend(fds);
        Ok(())
    }

    fn answer(&mut self, line: &str) -> Result<String, Failure> {
        let mut words = line.split(' ');
        let verb = words.next().unwrap_or("");
        let mut fields = BTreeMap::new();
        for word in words {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            if fields.insert(key, value).is_some() {
                return Err(Unsupported);
            }
        }
        let at = integer(fields.get("at").unwrap_or(&"0"), 0..=i32::MAX)? as usize;
        let keys: Vec<&str> = fields.keys().copied().collect();
        match (verb, keys.as_slice()) {
            ("hello", []) => {
                // Use your library's name and version. Expected failures can depend on the version.
                let can = "stream,dgram,seqpacket,multi";
                return Ok(format!("ok name=mine lang=rust version=0 can={can}"));
            }
            ("send", ["fds", "payload"] | ["at", "fds", "payload"]) => {
                return self.send(&fields, at);
            }
            ("recv", ["bytes", "fds"] | ["at", "bytes", "fds"]) => return self.recv(&fields, at),
            ("use", ["sock"] | ["fds", "sock"]) => self.begin(&fields)?,
            ("close", ["fds"]) => self.close(&integers(fields["fds"], 0..=i32::MAX)?)?,
            ("end", []) => self.end()?,
            _ => return Err(Unsupported),
        }
        Ok("ok".to_string())
    }
}

fn main() -> io::Result<()> {
    let mut peer = Peer::default();
    for line in io::stdin().lock().lines() {
        let said = peer.answer(&line?).unwrap_or_else(|failure| match failure {
            Unsupported => "unsupported".to_string(),
            Failure::Errno(errno) => format!("err {errno}"),
            Failure::Library(text) => format!("err lib {}", text.escape_default()),
        });
        println!("{said}");
        io::stdout().flush()?;
    }
    Ok(())
}
