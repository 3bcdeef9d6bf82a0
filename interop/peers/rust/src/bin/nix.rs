//! Peer for sendmsg and recvmsg of nix::sys::socket.

use nix::libc::CMSG_SPACE;
use nix::sys::socket::{recvmsg, sendmsg, ControlMessage, ControlMessageOwned, MsgFlags};
use peer::message::control_size;
use peer::{Library, Received, Result};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::RawFd;

struct Nix;

impl Library for Nix {
    const NAME: &'static str = "nix";
    const VERSION: &'static str = env!("VERSION_nix");
    const CAN: &'static str = "stream,dgram,seqpacket,multi,iov,flags";

    fn send(sock: RawFd, bufs: &[IoSlice], fds: &[RawFd], flags: i32) -> Result<usize> {
        let rights = [ControlMessage::ScmRights(fds)];
        let control = if fds.is_empty() { &[] } else { &rights[..] };
        let flags = MsgFlags::from_bits_retain(flags);
        Ok(sendmsg::<()>(sock, bufs, control, flags, None)?)
    }

    fn recv(sock: RawFd, bufs: &mut [IoSliceMut], room: usize, flags: i32) -> Result<Received> {
        let flags = MsgFlags::from_bits_retain(flags) | MsgFlags::MSG_CMSG_CLOEXEC;
        let mut control = (room > 0).then(|| vec![0; control_size(room, CMSG_SPACE)]);
        let message = recvmsg::<()>(sock, bufs, control.as_deref_mut(), flags)?;

        let mut fds = Vec::new();
        if room > 0 {
            // ENOBUFS if control data was truncated. The installed descriptors cannot be reached then.
            for control in message.cmsgs()? {
                if let ControlMessageOwned::ScmRights(received) = control {
                    fds.extend(received);
                }
            }
        }
        let flags = message.flags.bits();
        Ok(Received::new(message.bytes, fds, Some(flags)))
    }
}

fn main() -> io::Result<()> {
    peer::run::<Nix>()
}
