//! Peer for the system calls of crosvm's ScmSocket before commit a0aad9eb0 (December 2023), rewritten with the libc crate.
//!
//! It keeps the faults: it receives with flags 0 and therefore without close-on-exec, and
//! does not check for truncation. Its control buffer for an odd number of descriptors has
//! space for one more than the caller requested. Receiving that one panics and leaves all
//! of them open.

use libc::{iovec, msghdr, CMSG_DATA, CMSG_FIRSTHDR, CMSG_LEN, CMSG_NXTHDR, CMSG_SPACE};
use peer::{Failure, Library, Received};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem;
use std::os::fd::RawFd;

struct ScmSocket;

impl Library for ScmSocket {
    const NAME: &'static str = "scmsocket";
    const VERSION: &'static str = "before-a0aad9eb0";
    const CAN: &'static str = "stream,dgram,seqpacket,multi,iov";

    fn send(sock: RawFd, bufs: &[IoSlice], fds: &[RawFd], _: i32) -> Result<usize, Failure> {
        let mut control = Vec::new();
        let iov = bufs.as_ptr() as *mut iovec; // sendmsg does not write to it
        let message = message(iov, bufs.len(), &mut control, fds.len());
        // SAFETY: control has space for one header and fds, and all that message points to outlives it.
        count(unsafe {
            let header = CMSG_FIRSTHDR(&message);
            if !header.is_null() {
                (*header).cmsg_len = CMSG_LEN(size_of_val(fds) as u32) as _;
                (*header).cmsg_level = libc::SOL_SOCKET;
                (*header).cmsg_type = libc::SCM_RIGHTS;
                let data: *mut RawFd = CMSG_DATA(header).cast();
                data.copy_from_nonoverlapping(fds.as_ptr(), fds.len());
            }
            libc::sendmsg(sock, &message, libc::MSG_NOSIGNAL)
        })
    }

    fn recv(
        sock: RawFd,
        bufs: &mut [IoSliceMut],
        room: usize,
        _: i32,
    ) -> Result<Received, Failure> {
        let mut control = Vec::new();
        let iov = bufs.as_mut_ptr().cast();
        let mut message = message(iov, bufs.len(), &mut control, room);
        // SAFETY: all that message points to outlives it.
        let n = count(unsafe { libc::recvmsg(sock, &mut message, 0) })?;

        let mut fds = vec![-1; room]; // the caller's buffer
        let mut total = 0;
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
                    // Bounds-checked: more than the caller requested panics.
                    for (i, fd) in fds[total..total + count].iter_mut().enumerate() {
                        *fd = data.add(i).read_unaligned();
                    }
                    total += count;
                }
                header = CMSG_NXTHDR(&message, header);
            }
        }
        fds.truncate(total);
        Ok(Received {
            n,
            fds,
            closed: 0,
            flags: None,
        })
    }
}

/// Returns a message with a control buffer of CMSG_SPACE for `fds` descriptors, or without one
/// for none. The buffer consists of 64-bit words to be aligned for a header.
fn message(iov: *mut iovec, iovlen: usize, control: &mut Vec<u64>, fds: usize) -> msghdr {
    // SAFETY: all zeros is a valid msghdr (musl's has private fields), and CMSG_SPACE only computes.
    unsafe {
        let mut message: msghdr = mem::zeroed();
        message.msg_iov = iov;
        message.msg_iovlen = iovlen as _;
        if fds > 0 {
            let bytes = CMSG_SPACE((fds * size_of::<RawFd>()) as u32) as usize;
            control.resize(bytes.div_ceil(8), 0);
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = bytes as _;
        }
        message
    }
}

fn count(n: isize) -> Result<usize, Failure> {
    usize::try_from(n).map_err(|_| io::Error::last_os_error().into())
}

fn main() -> io::Result<()> {
    peer::run::<ScmSocket>()
}
