//! Peer for tokio-seqpacket's UnixSeqpacket with ancillary messages, in a current-thread runtime.

use libc::{CMSG_LEN, CMSG_SPACE, SOCK_SEQPACKET};
use peer::message::control_size;
use peer::{borrow, Failure, Library, Received, Result};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{IntoRawFd, RawFd};
use std::sync::LazyLock;
use tokio::runtime::{Builder, Runtime};
use tokio_seqpacket::ancillary::{AncillaryMessageWriter, OwnedAncillaryMessage};
use tokio_seqpacket::UnixSeqpacket;

struct TokioSeqpacket;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = Builder::new_current_thread();
    builder.enable_io().build().expect("runtime")
});

impl Library for TokioSeqpacket {
    const NAME: &'static str = "tokio-seqpacket";
    const VERSION: &'static str = env!("VERSION_tokio-seqpacket");
    const CAN: &'static str = "seqpacket,multi,iov";
    const POLLS: bool = true;

    fn send(sock: RawFd, bufs: &[IoSlice], fds: &[RawFd], _: i32) -> Result<usize> {
        let fds = fds.iter().map(|&fd| borrow(fd));
        let fds = fds.collect::<Result<Vec<_>, _>>()?;
        let mut space = vec![0; control_size(fds.len(), CMSG_SPACE)];
        let mut ancillary = AncillaryMessageWriter::new(&mut space);
        if !fds.is_empty() {
            ancillary.add_fds(fds)?;
        }
        RUNTIME.block_on(async {
            let socket = socket(sock)?;
            let sent = socket.send_vectored_with_ancillary(bufs, &mut ancillary);
            let sent = sent.await;
            let _ = socket.into_raw_fd(); // the case closes it
            Ok(sent?)
        })
    }

    fn recv(sock: RawFd, bufs: &mut [IoSliceMut], room: usize, _: i32) -> Result<Received> {
        let mut space = vec![0; control_size(room, CMSG_LEN)];
        let (info, ancillary) = RUNTIME.block_on(async {
            let socket = socket(sock)?;
            let received = socket.recv_vectored_with_ancillary(bufs, &mut space);
            let received = received.await;
            let _ = socket.into_raw_fd();
            Ok::<_, Failure>(received?)
        })?;

        let mut fds = Vec::new();
        for message in ancillary.into_messages() {
            if let OwnedAncillaryMessage::FileDescriptors(received) = message {
                fds.extend(received.map(IntoRawFd::into_raw_fd));
            }
        }
        let bit = |set, bit| if set { bit } else { 0 };
        let trunc = bit(info.truncated(), libc::MSG_TRUNC);
        let flags = trunc | bit(info.ancillary_truncated(), libc::MSG_CTRUNC);
        Ok(Received::new(info.bytes_read(), fds, Some(flags)))
    }
}

/// Converts a socket to the library's type, whose from_raw_fd leaves non-blocking mode to its caller.
fn socket(sock: RawFd) -> Result<UnixSeqpacket> {
    if peer::socket_type(sock) != Some(SOCK_SEQPACKET) {
        return Err(Failure::Unsupported);
    }
    // SAFETY: the descriptor is a socket, and the caller takes it back after use.
    unsafe {
        let flags = libc::fcntl(sock, libc::F_GETFL);
        libc::fcntl(sock, libc::F_SETFL, flags | libc::O_NONBLOCK);
        Ok(UnixSeqpacket::from_raw_fd(sock)?)
    }
}

fn main() -> io::Result<()> {
    LazyLock::force(&RUNTIME); // its descriptors must not appear during a case
    peer::run::<TokioSeqpacket>()
}
