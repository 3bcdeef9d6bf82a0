//! Peer for ScmSocket of the published crate vmm-sys-util, which rust-vmm derived from crosvm's.

use peer::{Library, Received, Result};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::RawFd;
use vmm_sys_util::sock_ctrl_msg::ScmSocket;

struct VmmSysUtil;

/// The crate implements the trait for UnixStream and UnixDatagram. A type of its own serves all sockets.
struct Socket(RawFd);

impl ScmSocket for Socket {
    fn socket_fd(&self) -> RawFd {
        self.0
    }
}

impl Library for VmmSysUtil {
    const NAME: &'static str = "vmm-sys-util";
    const VERSION: &'static str = env!("VERSION_vmm-sys-util");
    const CAN: &'static str = "stream,dgram,seqpacket,multi,iov";

    fn send(sock: RawFd, bufs: &[IoSlice], fds: &[RawFd], _: i32) -> Result<usize> {
        let bufs: Vec<&[u8]> = bufs.iter().map(|buf| &**buf).collect();
        Ok(Socket(sock).send_with_fds(&bufs, fds)?)
    }

    fn recv(sock: RawFd, bufs: &mut [IoSliceMut], room: usize, _: i32) -> Result<Received> {
        let iovecs = bufs.iter_mut().map(|buf| libc::iovec {
            iov_base: buf.as_mut_ptr().cast(),
            iov_len: buf.len(),
        });
        let mut iovecs: Vec<_> = iovecs.collect();
        let mut fds = vec![-1; room];
        // SAFETY: each iovec is one of the buffers, which outlive the call.
        let (n, count) = unsafe { Socket(sock).recv_with_fds(&mut iovecs, &mut fds) }?;
        fds.truncate(count);
        Ok(Received::new(n, fds, None))
    }
}

fn main() -> io::Result<()> {
    peer::run::<VmmSysUtil>()
}
