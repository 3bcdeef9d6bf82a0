use std::os::raw::{c_int, c_void};
use std::ptr::null_mut;

#[repr(C)]
struct Iovec {
    base: *mut c_void,
    len: usize,
}

#[repr(C)]
struct Msghdr {
    name: *mut c_void,
    namelen: u32,
    iov: *mut Iovec,
    iovlen: usize,
    control: *mut c_void,
    controllen: usize,
    flags: c_int,
}

extern "C" {
    fn sendmsg(sock: c_int, message: *const Msghdr, flags: c_int) -> isize;
    fn recvmsg(sock: c_int, message: *mut Msghdr, flags: c_int) -> isize;
}

const WORD: usize = std::mem::size_of::<usize>();
const HEADER: usize = WORD + 8; // of a control message
const SOL_SOCKET: i32 = 1;
const SCM_RIGHTS: i32 = 1;
const SCM_PIDFD: i32 = 4;
const MSG_CMSG_CLOEXEC: c_int = 0x4000_0000;

fn message(iov: &mut Iovec, control: &mut [u8]) -> Msghdr {
    Msghdr {
        name: null_mut(),
        namelen: 0,
        iov,
        iovlen: 1,
        control: if control.is_empty() {
            null_mut()
        } else {
            control.as_mut_ptr().cast()
        },
        controllen: control.len(),
        flags: 0,
    }
}

fn library_send(sock: RawFd, payload: &[u8], fds: &[RawFd]) -> Result<usize, Failure> {
    let mut control = Vec::new();
    if !fds.is_empty() {
        control.extend((HEADER + 4 * fds.len()).to_ne_bytes());
        control.extend(SOL_SOCKET.to_ne_bytes());
        control.extend(SCM_RIGHTS.to_ne_bytes());
        control.extend(fds.iter().flat_map(|fd| fd.to_ne_bytes()));
        control.resize(control.len().next_multiple_of(WORD), 0);
    }
    let mut iov = Iovec {
        base: payload.as_ptr().cast_mut().cast(),
        len: payload.len(),
    };
    let n = unsafe { sendmsg(sock, &message(&mut iov, &mut control), 0) };
    Ok(usize::try_from(n).map_err(|_| io::Error::last_os_error())?)
}

fn library_recv(sock: RawFd, most: usize, room: usize) -> Result<Received, Failure> {
    let mut payload = vec![0; most];
    let mut control = vec![0; if room > 0 { HEADER + 4 * room } else { 0 }];
    let mut iov = Iovec {
        base: payload.as_mut_ptr().cast(),
        len: most,
    };
    let mut message = message(&mut iov, &mut control);
    let n = unsafe { recvmsg(sock, &mut message, MSG_CMSG_CLOEXEC) };
    payload.truncate(usize::try_from(n).map_err(|_| io::Error::last_os_error())?);
    let (mut rest, flags) = (&control[..message.controllen], Some(message.flags));
    let mut fds = Vec::new();
    let int = |bytes: &[u8]| i32::from_ne_bytes(bytes.try_into().unwrap());
    while rest.len() >= HEADER {
        let length = usize::from_ne_bytes(rest[..WORD].try_into().unwrap());
        let kind = (int(&rest[WORD..WORD + 4]), int(&rest[WORD + 4..HEADER]));
        let items = rest[HEADER..length].chunks_exact(4).map(int);
        if kind == (SOL_SOCKET, SCM_RIGHTS) {
            fds.extend(items);
        } else if kind == (SOL_SOCKET, SCM_PIDFD) {
            items.for_each(|fd| drop(unsafe { OwnedFd::from_raw_fd(fd) }));
        }
        rest = &rest[length.next_multiple_of(WORD).min(rest.len())..];
    }
    Ok(Received {
        payload,
        fds,
        flags,
    })
}
