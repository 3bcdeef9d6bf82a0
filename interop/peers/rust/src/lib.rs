//! The common part of the peers in Rust, which implements interop/peers/README.md.
//!
//! SIGPIPE needs no handling, because Rust's runtime ignores it.

mod errno;
mod fields;
mod flags;
mod payload;
mod peer;

use peer::Peer;
use std::io::{self, BufRead, IoSlice, IoSliceMut, Write};
use std::os::fd::RawFd;

/// One interface of one library.
pub trait Library {
    const NAME: &'static str;
    const VERSION: &'static str;
    /// The field `can` of `hello`.
    const CAN: &'static str;
    /// The library puts its sockets in non-blocking mode, or expects them to be.
    const POLLS: bool = false;

    /// Sends one message and returns the count that the library reports.
    fn send(sock: RawFd, bufs: &[IoSlice], fds: &[RawFd], flags: i32) -> Result<usize, Failure>;

    /// Receives one message with at most `room` descriptors.
    fn recv(
        sock: RawFd,
        bufs: &mut [IoSliceMut],
        room: usize,
        flags: i32,
    ) -> Result<Received, Failure>;
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

pub enum Failure {
    Errno(i32),
    Library(String),
    /// The peer does not know the command, or the library cannot express it.
    Unsupported,
}

impl<E: Into<io::Error>> From<E> for Failure {
    fn from(e: E) -> Self {
        let e = e.into();
        match e.raw_os_error() {
            Some(number) => Failure::Errno(number),
            None => Failure::Library(e.to_string()),
        }
    }
}

/// Answers the commands on standard input until end of file.
pub fn run<L: Library>() -> io::Result<()> {
    let mut peer = Peer::default();
    let mut input = io::stdin().lock();
    let mut output = io::stdout().lock();
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line);
        let answer = peer.answer::<L>(text.trim_end_matches('\n'));
        let answer = answer.unwrap_or_else(|failure| match failure {
            Failure::Errno(number) => format!("err {}", errno::name(number)),
            Failure::Library(text) => format!("err lib {}", text.replace(char::is_control, " ")),
            Failure::Unsupported => "unsupported".to_string(),
        });
        writeln!(output, "{answer}")?;
        output.flush()?;
        line.clear();
    }
    Ok(())
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
