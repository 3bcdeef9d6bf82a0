//! Peer for sendmsg and recvmsg of rustix::net, with its ancillary buffers.

use peer::{borrow, Failure, Library, Received, Result};
use rustix::cmsg_space;
use rustix::net::{recvmsg, sendmsg, RecvFlags, SendFlags};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{IntoRawFd, RawFd};

struct Rustix;

impl Library for Rustix {
    const NAME: &'static str = "rustix";
    const VERSION: &'static str = env!("VERSION_rustix");
    const CAN: &'static str = "stream,dgram,seqpacket,multi,iov,flags";

    fn send(sock: RawFd, bufs: &[IoSlice], fds: &[RawFd], flags: i32) -> Result<usize> {
        let fds = fds.iter().map(|&fd| borrow(fd));
        let fds = fds.collect::<Result<Vec<_>, _>>()?;
        let mut space = space(fds.len());
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(Failure::Library("push: no room".to_string()));
        }
        let flags = SendFlags::from_bits_retain(flags as u32);
        Ok(sendmsg(borrow(sock)?, bufs, &mut control, flags)?)
    }

    fn recv(sock: RawFd, bufs: &mut [IoSliceMut], room: usize, flags: i32) -> Result<Received> {
        let mut space = space(room);
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::from_bits_retain(flags as u32) | RecvFlags::CMSG_CLOEXEC;
        let message = recvmsg(borrow(sock)?, bufs, &mut control, flags)?;

        let mut fds = Vec::new();
        for control in control.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = control {
                fds.extend(received.map(IntoRawFd::into_raw_fd));
            }
        }
        let flags = message.flags.bits() as i32;
        Ok(Received::new(message.bytes, fds, Some(flags)))
    }
}

/// Returns a buffer for `room` descriptors. For none it is empty, as the documentation allows.
fn space(room: usize) -> Vec<MaybeUninit<u8>> {
    let bytes = match room {
        0 => 0,
        _ => cmsg_space!(ScmRights(room)),
    };
    vec![MaybeUninit::uninit(); bytes]
}

fn main() -> io::Result<()> {
    peer::run::<Rustix>()
}
