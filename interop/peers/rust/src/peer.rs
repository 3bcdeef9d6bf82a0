//! A peer for scm interop: it reads commands on standard input and answers on standard output.
//! Call your library in `library_send` and `library_recv`. Return `Unsupported` if it has no
//! interface for the command. The operator `?` turns an `io::Error` into an error answer.
//!
//!     rustc --edition 2021 -O peer.rs
//!     ./peer
//!
//! If the library is a crate, make this file examples/peer.rs in its package instead, and build it with
//! `cargo build --release --example peer`. The peer is target/release/examples/peer. Or make it src/main.rs
//! of a new package: `cargo init`, `cargo add CRATE`, `cargo build --release`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, Write as _};
use std::ops::RangeInclusive;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

pub enum Failure {
    Unsupported,
    Errno(i32),
    Library(String),
}
use Failure::Unsupported;

impl<E: Into<io::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
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

pub const MAX_PAYLOAD: i32 = 64 << 20;

/// Reads an integer that is written as it would be printed.
pub fn integer(text: &str, range: RangeInclusive<i32>) -> Result<i32, Failure> {
    match text.parse() {
        Ok(n) if range.contains(&n) && n.to_string() == text => Ok(n),
        _ => Err(Unsupported),
    }
}

pub fn integers(text: &str, range: RangeInclusive<i32>) -> Result<Vec<RawFd>, Failure> {
    if text == "-" {
        return Ok(Vec::new());
    }
    let words = text.split(',');
    words.map(|word| integer(word, range.clone())).collect()
}

fn pattern(length: usize, at: usize) -> Vec<u8> {
    (0..length).map(|i| ((at + i) % 251) as u8).collect()
}

pub fn payload_of(text: &str, at: usize) -> Result<Vec<u8>, Failure> {
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
    let byte = |i| u8::from_str_radix(&text[i..i + 2], 16).map_err(|_| Unsupported);
    (0..text.len()).step_by(2).map(byte).collect()
}

pub fn shown(payload: &[u8], at: usize) -> String {
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

pub fn shown_flags(flags: i32) -> String {
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
    format!(" flags={}", list(&names))
}

pub fn list<T: ToString>(items: &[T]) -> String {
    if items.is_empty() {
        return "-".to_string();
    }
    let words: Vec<String> = items.iter().map(T::to_string).collect();
    words.join(",")
}

pub type Fields<'a> = BTreeMap<&'a str, &'a str>;

/// Answers send or recv with these fields, whose pattern begins at a byte.
type Call = fn(&mut Peer, &Fields, usize) -> Result<String, Failure>;

pub struct Peer {
    pub hello: String,
    pub optional: &'static [&'static str], // fields of send and recv
    pub send: Call,
    pub recv: Call,
    pub sock: RawFd,
    pub held: BTreeSet<RawFd>, // the socket, its files, and the descriptors received
}

fn send(peer: &mut Peer, fields: &Fields, at: usize) -> Result<String, Failure> {
    let payload = payload_of(fields["payload"], at)?;
    let fds = integers(fields["fds"], i32::MIN..=i32::MAX)?;
    let n = library_send(peer.sock, &payload, &fds)?;
    Ok(format!("ok n={n}"))
}

fn recv(peer: &mut Peer, fields: &Fields, at: usize) -> Result<String, Failure> {
    let most = integer(fields["bytes"], 0..=MAX_PAYLOAD)? as usize;
    let room = integer(fields["fds"], 0..=65535)? as usize;
    let r = library_recv(peer.sock, most, room)?;
    peer.held.extend(&r.fds);
    let (n, payload, fds) = (r.payload.len(), shown(&r.payload, at), list(&r.fds));
    let flags = r.flags.map(shown_flags).unwrap_or_default();
    Ok(format!("ok n={n} payload={payload} fds={fds}{flags}"))
}

impl Peer {
    fn close(&mut self, fds: impl IntoIterator<Item = RawFd>) -> Result<(), Failure> {
        let fds = BTreeSet::from_iter(fds);
        if !fds.is_subset(&self.held) {
            return Err(Unsupported);
        }
        for fd in fds {
            self.held.remove(&fd);
            // SAFETY: the runner gave the descriptor to this peer, or the library returned it.
            drop(unsafe { OwnedFd::from_raw_fd(fd) });
        }
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
        let optional = |key: &&str| ["send", "recv"].contains(&verb) && self.optional.contains(key);
        let keys = fields.keys().copied();
        let keys: Vec<&str> = keys.filter(|key| !optional(key)).collect();
        match (verb, keys.as_slice()) {
            ("hello", []) => return Ok(format!("ok lang=rust {}", self.hello)),
            ("use", ["sock"] | ["fds", "sock"]) => {
                let sock = integer(fields["sock"], 0..=i32::MAX)?;
                let fds = integers(fields.get("fds").unwrap_or(&"-"), 0..=i32::MAX)?;
                self.close(self.held.clone())?;
                self.sock = sock;
                self.held.insert(sock);
                self.held.extend(fds);
            }
            ("close", ["fds"]) => self.close(integers(fields["fds"], 0..=i32::MAX)?)?,
            ("end", []) => self.close(self.held.clone())?,
            _ if !self.held.contains(&self.sock) => return Err(Unsupported),
            ("send", ["fds", "payload"]) => return (self.send)(self, &fields, at),
            ("recv", ["bytes", "fds"]) => return (self.recv)(self, &fields, at),
            _ => return Err(Unsupported),
        }
        Ok("ok".to_string())
    }

    pub fn serve(mut self) -> io::Result<()> {
        for line in io::stdin().lock().lines() {
            let said = self.answer(&line?).unwrap_or_else(|failure| match failure {
                Unsupported => "unsupported".to_string(),
                Failure::Errno(errno) => format!("err {errno}"),
                Failure::Library(text) => format!("err lib {}", text.escape_default()),
            });
            println!("{said}");
            io::stdout().flush()?;
        }
        Ok(())
    }
}

pub fn main() -> io::Result<()> {
    let mine = Peer {
        // Use your library's name and version. Expected failures can depend on the version.
        // In can=, multi promises several descriptors in a message, iov several buffers, and flags
        // calls with flags of the caller's choice, rather than the flags that a receive reports.
        // If the library waits in an event loop, add polls=yes.
        hello: "name=mine version=0 can=stream,dgram,seqpacket,multi".to_string(),
        optional: &["at"],
        send,
        recv,
        sock: -1,
        held: BTreeSet::new(),
    };
    mine.serve()
}
