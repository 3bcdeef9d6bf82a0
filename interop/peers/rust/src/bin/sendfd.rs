//! Peer for sendfd's SendWithFd and RecvWithFd on the standard library's sockets.

use peer::{Failure, Library, Received, Result};
use sendfd::{RecvWithFd, SendWithFd};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, RawFd};
use std::os::unix::net::{UnixDatagram, UnixStream};

struct Sendfd;

/// The case closes the socket, so dropping these must not.
enum Socket {
    Stream(ManuallyDrop<UnixStream>),
    Datagram(ManuallyDrop<UnixDatagram>),
}

impl Library for Sendfd {
    const NAME: &'static str = "sendfd";
    const VERSION: &'static str = env!("VERSION_sendfd");
    const CAN: &'static str = "stream,dgram,multi";

    fn send(sock: RawFd, bufs: &[IoSlice], fds: &[RawFd], _: i32) -> Result<usize> {
        Ok(match socket(sock)? {
            Socket::Stream(socket) => socket.send_with_fd(&bufs[0], fds)?,
            Socket::Datagram(socket) => socket.send_with_fd(&bufs[0], fds)?,
        })
    }

    fn recv(sock: RawFd, bufs: &mut [IoSliceMut], room: usize, _: i32) -> Result<Received> {
        let mut fds = vec![-1; room];
        let (n, count) = match socket(sock)? {
            Socket::Stream(socket) => socket.recv_with_fd(&mut bufs[0], &mut fds)?,
            Socket::Datagram(socket) => socket.recv_with_fd(&mut bufs[0], &mut fds)?,
        };
        fds.truncate(count);
        Ok(Received::new(n, fds, None))
    }
}

/// Converts a descriptor to the standard library's type. sendfd gets any that is not a socket.
fn socket(sock: RawFd) -> Result<Socket> {
    match peer::socket_type(sock) {
        Some(libc::SOCK_SEQPACKET) => Err(Failure::Unsupported),
        Some(libc::SOCK_DGRAM) => Ok(Socket::Datagram(view(sock))),
        _ => Ok(Socket::Stream(view(sock))),
    }
}

fn view<T: FromRawFd>(sock: RawFd) -> ManuallyDrop<T> {
    // SAFETY: the descriptor belongs to the case, and dropping this does not close it.
    ManuallyDrop::new(unsafe { T::from_raw_fd(sock) })
}

fn main() -> io::Result<()> {
    peer::run::<Sendfd>()
}
