//! Peer for libc's sendmsg and recvmsg, called as a careful program calls them.

use libc::CMSG_LEN;
use peer::message::{count, incoming, outgoing, rights};
use peer::{Library, Received, Result};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::RawFd;

struct Libc;

/// The control buffers have CMSG_LEN bytes and not CMSG_SPACE, so that the kernel cannot install more than
/// was asked for.
impl Library for Libc {
    const NAME: &'static str = "libc";
    const VERSION: &'static str = env!("VERSION_libc");
    const CAN: &'static str = "stream,dgram,seqpacket,multi,iov,flags";

    fn send(sock: RawFd, bufs: &[IoSlice], fds: &[RawFd], flags: i32) -> Result<usize> {
        let mut control = Vec::new();
        let message = outgoing(bufs, fds, &mut control, CMSG_LEN);
        // SAFETY: all that message points to outlives it.
        count(unsafe { libc::sendmsg(sock, &message, flags) })
    }

    fn recv(sock: RawFd, bufs: &mut [IoSliceMut], room: usize, flags: i32) -> Result<Received> {
        let mut control = Vec::new();
        let mut message = incoming(bufs, room, &mut control, CMSG_LEN);
        let flags = flags | libc::MSG_CMSG_CLOEXEC;
        // SAFETY: all that message points to outlives it, and the kernel writes the control buffer.
        let (n, mut fds) = unsafe {
            let n = count(libc::recvmsg(sock, &mut message, flags))?;
            (n, rights(&message))
        };
        let extra = fds.split_off(room.min(fds.len()));
        for &fd in &extra {
            // SAFETY: this receive installed the descriptor, and nothing else uses it.
            unsafe { libc::close(fd) };
        }
        Ok(Received {
            closed: extra.len(),
            ..Received::new(n, fds, Some(message.msg_flags))
        })
    }
}

fn main() -> io::Result<()> {
    peer::run::<Libc>()
}
