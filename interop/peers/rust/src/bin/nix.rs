//! Peer for sendmsg and recvmsg of nix::sys::socket.

use nix::libc::CMSG_SPACE;
use nix::sys::socket::{recvmsg, sendmsg, ControlMessage, ControlMessageOwned, MsgFlags};
use peer::{Failure, Library, Received};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::RawFd;

struct Nix;

impl Library for Nix {
    const NAME: &'static str = "nix";
    const VERSION: &'static str = env!("VERSION_nix");
    const CAN: &'static str = "stream,dgram,seqpacket,multi,iov,flags";

    fn send(sock: RawFd, bufs: &[IoSlice], fds: &[RawFd], flags: i32) -> Result<usize, Failure> {
        let rights = [ControlMessage::ScmRights(fds)];
        let control = if fds.is_empty() { &[] } else { &rights[..] };
        let flags = MsgFlags::from_bits_retain(flags);
        Ok(sendmsg::<()>(sock, bufs, control, flags, None)?)
    }

    fn recv(
        sock: RawFd,
        bufs: &mut [IoSliceMut],
        room: usize,
        flags: i32,
    ) -> Result<Received, Failure> {
        let flags = MsgFlags::from_bits_retain(flags) | MsgFlags::MSG_CMSG_CLOEXEC;
        let mut control = (room > 0).then(|| space(room));
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
        Ok(Received {
            n: message.bytes,
            fds,
            closed: 0,
            flags: Some(message.flags.bits()),
        })
    }
}

/// Returns cmsg_space!([RawFd; room]). The macro itself takes only constants.
fn space(room: usize) -> Vec<u8> {
    let bytes = (room * size_of::<RawFd>()) as u32;
    // SAFETY: CMSG_SPACE only computes.
    vec![0; unsafe { CMSG_SPACE(bytes) } as usize]
}

fn main() -> io::Result<()> {
    peer::run::<Nix>()
}
