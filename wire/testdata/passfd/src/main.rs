//! Sends descriptor FD through socket 3 with the crate passfd.

use passfd::FdPassingExt;

fn main() -> std::io::Result<()> {
    let fd = std::env::args().nth(1).expect("FD");
    3.send_fd(fd.parse().expect("a number"))
}
