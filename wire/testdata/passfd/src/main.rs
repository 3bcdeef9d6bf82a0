//! Uses the crate passfd on socket 3: `send FD` or `recv`.

use passfd::FdPassingExt;
use std::fs::File;
use std::io::{read_to_string, Result};
use std::os::fd::{FromRawFd, RawFd};

const SOCK: RawFd = 3;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    if args[1] == "send" {
        return SOCK.send_fd(args[2].parse().expect("a number"));
    }
    let fd = SOCK.recv_fd()?;
    // SAFETY: recv_fd returned a descriptor that this program owns.
    let file = unsafe { File::from_raw_fd(fd) };
    println!("{}", read_to_string(file)?);
    Ok(())
}
