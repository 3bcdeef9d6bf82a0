//! Peer for libc's sendmsg and recvmsg, called as a careful program calls them.

use libc::{iovec, msghdr, CMSG_DATA, CMSG_FIRSTHDR, CMSG_LEN, CMSG_NXTHDR, CMSG_SPACE};
use peer::{Failure, Library, Received};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem;
use std::os::fd::RawFd;

struct Libc;

impl Library for Libc {
    const NAME: &'static str = "libc";
    const VERSION: &'static str = env!("VERSION_libc");
    const CAN: &'static str = "stream,dgram,seqpacket,multi,iov,flags";

    fn send(sock: RawFd, bufs: &[IoSlice], fds: &[RawFd], flags: i32) -> Result<usize, Failure> {
        let mut control = Vec::new();
        let iov = bufs.as_ptr() as *mut iovec; // sendmsg does not write to it
        let message = message(iov, bufs.len(), &mut control, fds.len());
        // SAFETY: control has space for one header and fds, and all that message points to outlives it.
        count(unsafe {
            let header = CMSG_FIRSTHDR(&message);
            if !header.is_null() {
                (*header).cmsg_level = libc::SOL_SOCKET;
                (*header).cmsg_type = libc::SCM_RIGHTS;
                (*header).cmsg_len = message.msg_controllen;
                let data: *mut RawFd = CMSG_DATA(header).cast();
                for (i, &fd) in fds.iter().enumerate() {
                    data.add(i).write_unaligned(fd);
                }
            }
            libc::sendmsg(sock, &message, flags)
        })
    }

    fn recv(
        sock: RawFd,
        bufs: &mut [IoSliceMut],
        room: usize,
        flags: i32,
    ) -> Result<Received, Failure> {
        let mut control = Vec::new();
        let iov = bufs.as_mut_ptr().cast();
        let mut message = message(iov, bufs.len(), &mut control, room);
        let flags = flags | libc::MSG_CMSG_CLOEXEC;
        // SAFETY: all that message points to outlives it.
        let n = count(unsafe { libc::recvmsg(sock, &mut message, flags) })?;

        let mut fds = Vec::new();
        // SAFETY: the kernel wrote msg_controllen bytes, headers and their data.
        unsafe {
            let mut header = CMSG_FIRSTHDR(&message);
            while !header.is_null() {
                if (*header).cmsg_level == libc::SOL_SOCKET
                    && (*header).cmsg_type == libc::SCM_RIGHTS
                {
                    let bytes = (*header).cmsg_len as u32 - CMSG_LEN(0);
                    let data: *const RawFd = CMSG_DATA(header).cast();
                    let count = bytes as usize / size_of::<RawFd>();
                    fds.extend((0..count).map(|i| data.add(i).read_unaligned()));
                }
                header = CMSG_NXTHDR(&message, header);
            }
        }
        let extra = fds.split_off(room.min(fds.len()));
        for &fd in &extra {
            // SAFETY: this receive installed the descriptor, and nothing else uses it.
            unsafe { libc::close(fd) };
        }
        Ok(Received {
            n,
            fds,
            closed: extra.len(),
            flags: Some(message.msg_flags),
        })
    }
}

/// Returns a message with a control buffer for `fds` descriptors, or without one for none.
/// msg_controllen is CMSG_LEN and not CMSG_SPACE, so that the kernel cannot install more. The
/// buffer consists of 64-bit words to be aligned for a header.
fn message(iov: *mut iovec, iovlen: usize, control: &mut Vec<u64>, fds: usize) -> msghdr {
    let bytes = (fds * size_of::<RawFd>()) as u32;
    // SAFETY: all zeros is a valid msghdr (musl's has private fields), and CMSG_* only compute here.
    unsafe {
        let mut message: msghdr = mem::zeroed();
        message.msg_iov = iov;
        message.msg_iovlen = iovlen as _;
        if fds > 0 {
            control.resize((CMSG_SPACE(bytes) as usize).div_ceil(8), 0);
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = CMSG_LEN(bytes) as _;
        }
        message
    }
}

fn count(n: isize) -> Result<usize, Failure> {
    usize::try_from(n).map_err(|_| io::Error::last_os_error().into())
}

fn main() -> io::Result<()> {
    peer::run::<Libc>()
}
