//! An addition to the skeleton: flags and several buffers.

use crate::peer::{integer, integers, list, payload_of, shown, shown_flags};
use crate::peer::{Failure, Fields, Peer, MAX_PAYLOAD};
use std::collections::BTreeSet;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{BorrowedFd, RawFd};

/// What the functions of the peers return.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// One interface of one library.
pub trait Library {
    const NAME: &'static str;
    const VERSION: &'static str;
    /// The field `can` of `hello`.
    const CAN: &'static str;
    /// The library puts its sockets in non-blocking mode, or expects them to be.
    const POLLS: bool = false;

    /// Sends one message and returns the count that the library reports.
    fn send(sock: RawFd, bufs: &[IoSlice], fds: &[RawFd], flags: i32) -> Result<usize>;

    /// Receives one message with at most `room` descriptors.
    fn recv(sock: RawFd, bufs: &mut [IoSliceMut], room: usize, flags: i32) -> Result<Received>;
}

/// A received message, as the library reports it.
pub struct Received {
    pub n: usize,
    pub fds: Vec<RawFd>,
    /// The number of descriptors that were received and closed.
    pub closed: usize,
    /// MSG_ bits, if the library reports them.
    pub flags: Option<i32>,
}

impl Received {
    /// Returns a message of which no descriptor was closed.
    pub fn new(n: usize, fds: Vec<RawFd>, flags: Option<i32>) -> Self {
        Received {
            n,
            fds,
            closed: 0,
            flags,
        }
    }
}

/// Answers the commands on standard input until end of file.
pub fn run<L: Library>() -> io::Result<()> {
    let polls = if L::POLLS { " polls=yes" } else { "" };
    let (name, version, can) = (L::NAME, L::VERSION, L::CAN);
    let peer = Peer {
        hello: format!("name={name} version={version} can={can}{polls}"),
        optional: &["at", "flags"],
        send: send::<L>,
        recv: recv::<L>,
        sock: -1,
        held: BTreeSet::new(),
    };
    peer.serve()
}

type Names = &'static [(&'static str, i32)];

const SEND: Names = &[
    ("dontwait", libc::MSG_DONTWAIT),
    ("nosignal", libc::MSG_NOSIGNAL),
    ("eor", libc::MSG_EOR),
    ("oob", libc::MSG_OOB),
    ("more", libc::MSG_MORE),
];

const RECV: Names = &[
    ("dontwait", libc::MSG_DONTWAIT),
    ("peek", libc::MSG_PEEK),
    ("trunc", libc::MSG_TRUNC),
    ("waitall", libc::MSG_WAITALL),
    ("oob", libc::MSG_OOB),
];

/// Returns the bits of the field `flags`. Rejects a message that `can` does not include.
fn flags<L: Library>(fields: &Fields, names: Names, bufs: usize) -> Result<i32> {
    let can = |what| L::CAN.split(',').any(|word| word == what);
    let text = *fields.get("flags").unwrap_or(&"-");
    if bufs > 1 && !can("iov") || text != "-" && !can("flags") {
        return Err(Failure::Unsupported);
    }
    let bit = |word| names.iter().find(|(name, _)| *name == word);
    let words = text.split(',').filter(|_| text != "-");
    words.into_iter().try_fold(0, |bits, word| {
        let (_, bit) = bit(word).ok_or(Failure::Unsupported)?;
        Ok(bits | bit)
    })
}

fn send<L: Library>(peer: &mut Peer, fields: &Fields, mut at: usize) -> Result<String> {
    let mut payload = Vec::new();
    for word in fields["payload"].split(',') {
        let buf = payload_of(word, at)?;
        at += buf.len(); // a pattern continues from one buffer to the next
        payload.push(buf);
    }
    let fds = integers(fields["fds"], i32::MIN..=i32::MAX)?;
    let flags = flags::<L>(fields, SEND, payload.len())?;
    let bufs: Vec<_> = payload.iter().map(|buf| IoSlice::new(buf)).collect();
    let n = L::send(peer.sock, &bufs, &fds, flags)?;
    Ok(format!("ok n={n}"))
}

fn recv<L: Library>(peer: &mut Peer, fields: &Fields, at: usize) -> Result<String> {
    let sizes = fields["bytes"].split(',');
    let sizes = sizes.map(|word| integer(word, 0..=MAX_PAYLOAD));
    let sizes = sizes.collect::<Result<Vec<_>, _>>()?;
    let room = integer(fields["fds"], 0..=65535)? as usize;
    let flags = flags::<L>(fields, RECV, sizes.len())?;

    let mut room_for: Vec<_> = sizes.iter().map(|&size| vec![0; size as usize]).collect();
    let mut bufs: Vec<_> = room_for.iter_mut().map(|b| IoSliceMut::new(b)).collect();
    let got = L::recv(peer.sock, &mut bufs, room, flags)?;
    peer.held.extend(&got.fds);

    let mut bytes = room_for.concat();
    bytes.truncate(got.n); // with MSG_TRUNC the count may exceed the buffers
    let mut fds: Vec<_> = got.fds.iter().map(RawFd::to_string).collect();
    if got.closed > 0 {
        fds.push(format!("closed:{}", got.closed));
    }
    let (n, payload, listed) = (got.n, shown(&bytes, at), list(&fds));
    let flags = got.flags.map(shown_flags).unwrap_or_default();
    Ok(format!("ok n={n} payload={payload} fds={listed}{flags}"))
}

/// Converts a descriptor to the standard library's type, which cannot be -1.
pub fn borrow<'a>(fd: RawFd) -> Result<BorrowedFd<'a>> {
    if fd == -1 {
        return Err(Failure::Unsupported);
    }
    // SAFETY: a later command closes the descriptor. If it is closed already, the scenario
    // expects EBADF.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Returns SO_TYPE, for libraries with a Rust type for each type of socket.
pub fn socket_type(sock: RawFd) -> Option<i32> {
    let mut kind = 0;
    let mut len = size_of::<i32>() as libc::socklen_t;
    let value = (&raw mut kind).cast();
    // SAFETY: value points to len bytes.
    let rc = unsafe { libc::getsockopt(sock, libc::SOL_SOCKET, libc::SO_TYPE, value, &mut len) };
    (rc == 0).then_some(kind)
}
