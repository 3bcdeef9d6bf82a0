//! scmsocket: what ChromiumOS's ScmSocket says to the kernel, on the libc crate.
//!
//! Its faults are kept: flags 0 on receive and so no close-on-exec, truncation is not
//! read, and the control buffer for an odd number of descriptors admits one more than
//! the caller has room for. Receiving that one panics, and leaves both open.

use libc::{iovec, msghdr, CMSG_DATA, CMSG_FIRSTHDR, CMSG_LEN, CMSG_NXTHDR, CMSG_SPACE};
use peer::{Failure, Library, Received};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem;
use std::os::fd::RawFd;

struct ScmSocket;

impl Library for ScmSocket {
    const NAME: &'static str = "scmsocket";
    const VERSION: &'static str = env!("VERSION_libc");
    const CAN: &'static str = "stream,dgram,seqpacket,multi,iov";

    fn send(sock: RawFd, bufs: &[IoSlice], fds: &[RawFd], _: i32) -> Result<usize, Failure> {
        let mut control = Vec::new();
        let iov = bufs.as_ptr() as *mut iovec; // sendmsg does not write to it
        let message = message(iov, bufs.len(), &mut control, fds.len());
        // SAFETY: control has room for one header and fds; what message points to outlives it.
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
        // SAFETY: what message points to outlives it.
        let n = count(unsafe { libc::recvmsg(sock, &mut message, 0) })?;

        let mut fds = vec![-1; room]; // the caller's
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
                    // Bounds-checked: more than the caller has room for is a panic.
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

/// A message with a control buffer of CMSG_SPACE for `fds` descriptors, and without one for
/// none. It is of words, to be aligned for a header.
fn message(iov: *mut iovec, iovlen: usize, control: &mut Vec<u64>, fds: usize) -> msghdr {
    // SAFETY: zeros are a msghdr (musl's has private fields), and CMSG_SPACE only computes.
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
