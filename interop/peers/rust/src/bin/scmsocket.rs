//! Peer for the system calls of crosvm's ScmSocket before commit a0aad9eb0 (December 2023), rewritten with the libc crate.
//!
//! It keeps the faults: it receives with flags 0 and therefore without close-on-exec, and
//! does not check for truncation. Its control buffer for an odd number of descriptors has
//! space for one more than the caller requested. Receiving that one panics and leaves all
//! of them open.

use libc::CMSG_SPACE;
use peer::message::{count, incoming, outgoing, rights};
use peer::{Library, Received, Result};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::RawFd;

struct ScmSocket;

impl Library for ScmSocket {
    const NAME: &'static str = "scmsocket";
    const VERSION: &'static str = "before-a0aad9eb0";
    const CAN: &'static str = "stream,dgram,seqpacket,multi,iov";

    fn send(sock: RawFd, bufs: &[IoSlice], fds: &[RawFd], _: i32) -> Result<usize> {
        let mut control = Vec::new();
        let message = outgoing(bufs, fds, &mut control, CMSG_SPACE);
        // SAFETY: all that message points to outlives it.
        count(unsafe { libc::sendmsg(sock, &message, libc::MSG_NOSIGNAL) })
    }

    fn recv(sock: RawFd, bufs: &mut [IoSliceMut], room: usize, _: i32) -> Result<Received> {
        let mut control = Vec::new();
        let mut message = incoming(bufs, room, &mut control, CMSG_SPACE);
        // SAFETY: all that message points to outlives it, and the kernel writes the control buffer.
        let (n, received) = unsafe {
            let n = count(libc::recvmsg(sock, &mut message, 0))?;
            (n, rights(&message))
        };
        let mut fds = vec![-1; room]; // the caller's buffer
        for (i, &fd) in received.iter().enumerate() {
            fds[i] = fd; // more than the caller requested panics
        }
        fds.truncate(received.len());
        Ok(Received::new(n, fds, None))
    }
}

fn main() -> io::Result<()> {
    peer::run::<ScmSocket>()
}
