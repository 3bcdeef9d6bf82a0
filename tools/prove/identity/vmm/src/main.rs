//! A peer of the interop suite on vmm-sys-util's ScmSocket.

use peer::{Failure, Library, Received};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, RawFd};
use std::os::unix::net::UnixStream;
use vmm_sys_util::errno;
use vmm_sys_util::sock_ctrl_msg::ScmSocket;

struct VmmSysUtil;

impl Library for VmmSysUtil {
    const NAME: &'static str = "vmm-sys-util";
    const VERSION: &'static str = "0.15.0";
    const CAN: &'static str = "stream,dgram,seqpacket,multi,iov";

    fn send(sock: RawFd, bufs: &[IoSlice], fds: &[RawFd], _: i32) -> Result<usize, Failure> {
        let bufs: Vec<&[u8]> = bufs.iter().map(|b| &**b).collect();
        socket(sock).send_with_fds(&bufs, fds).map_err(failure)
    }

    fn recv(
        sock: RawFd,
        bufs: &mut [IoSliceMut],
        room: usize,
        _: i32,
    ) -> Result<Received, Failure> {
        let mut fds = vec![-1; room];
        let mut iovecs: Vec<libc::iovec> = bufs
            .iter_mut()
            .map(|b| libc::iovec {
                iov_base: b.as_mut_ptr().cast(),
                iov_len: b.len(),
            })
            .collect();
        // SAFETY: each iovec is a whole buffer, which outlives the call.
        let (n, count) =
            unsafe { socket(sock).recv_with_fds(&mut iovecs, &mut fds) }.map_err(failure)?;
        fds.truncate(count);
        Ok(Received {
            n,
            fds,
            closed: 0,
            flags: None,
        })
    }
}

/// The trait is there for sockets of every type; a stream's is as good as any.
fn socket(sock: RawFd) -> ManuallyDrop<UnixStream> {
    // SAFETY: the number stays the caller's, because it is not dropped.
    ManuallyDrop::new(unsafe { UnixStream::from_raw_fd(sock) })
}

fn failure(e: errno::Error) -> Failure {
    Failure::Errno(e.errno())
}

fn main() -> io::Result<()> {
    peer::run::<VmmSysUtil>()
}
