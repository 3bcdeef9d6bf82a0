//! Messages for the peers that make the system calls themselves, and sizes of control buffers for others.

use crate::Result;
use libc::{iovec, msghdr, CMSG_DATA, CMSG_FIRSTHDR, CMSG_LEN, CMSG_NXTHDR};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem;
use std::os::fd::RawFd;

/// CMSG_LEN or CMSG_SPACE.
pub type Size = unsafe extern "C" fn(u32) -> u32;

/// Returns the size of a control buffer for `fds` descriptors, which is 0 for none.
pub fn control_size(fds: usize, size: Size) -> usize {
    let bytes = (fds * size_of::<RawFd>()) as u32;
    // SAFETY: these functions only compute.
    let bytes = if fds > 0 { unsafe { size(bytes) } } else { 0 };
    bytes as usize
}

/// Returns a message with a control buffer of this size for `fds` descriptors, or without one for none. The
/// buffer consists of 64-bit words to be aligned for a header.
fn message(iov: *mut iovec, iovlen: usize, control: &mut Vec<u64>, bytes: usize) -> msghdr {
    // SAFETY: all zeros is a valid msghdr (musl's has private fields).
    let mut message: msghdr = unsafe { mem::zeroed() };
    message.msg_iov = iov;
    message.msg_iovlen = iovlen as _;
    if bytes > 0 {
        control.resize(bytes.div_ceil(8), 0);
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = bytes as _;
    }
    message
}

/// Returns a message to receive into these buffers at most as many descriptors as the control buffer can have.
pub fn incoming(
    bufs: &mut [IoSliceMut],
    room: usize,
    control: &mut Vec<u64>,
    size: Size,
) -> msghdr {
    let iov = bufs.as_mut_ptr().cast();
    message(iov, bufs.len(), control, control_size(room, size))
}

/// Returns a message with these descriptors.
pub fn outgoing(bufs: &[IoSlice], fds: &[RawFd], control: &mut Vec<u64>, size: Size) -> msghdr {
    let iov = bufs.as_ptr() as *mut iovec; // sendmsg does not write to it
    let message = message(iov, bufs.len(), control, control_size(fds.len(), size));
    // SAFETY: control has space for one header and fds.
    unsafe {
        let header = CMSG_FIRSTHDR(&message);
        if !header.is_null() {
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = CMSG_LEN(size_of_val(fds) as u32) as _;
            let data: *mut RawFd = CMSG_DATA(header).cast();
            data.copy_from_nonoverlapping(fds.as_ptr(), fds.len());
        }
    }
    message
}

/// Returns the descriptors of a received message.
///
/// # Safety
///
/// The kernel wrote msg_controllen bytes, headers and their data.
pub unsafe fn rights(message: &msghdr) -> Vec<RawFd> {
    let mut fds = Vec::new();
    let mut header = CMSG_FIRSTHDR(message);
    while !header.is_null() {
        if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_RIGHTS {
            let bytes = (*header).cmsg_len as u32 - CMSG_LEN(0);
            let data: *const RawFd = CMSG_DATA(header).cast();
            let count = bytes as usize / size_of::<RawFd>();
            fds.extend((0..count).map(|i| data.add(i).read_unaligned()));
        }
        header = CMSG_NXTHDR(message, header);
    }
    fds
}

pub fn count(n: isize) -> Result<usize> {
    usize::try_from(n).map_err(|_| io::Error::last_os_error().into())
}
