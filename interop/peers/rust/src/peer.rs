//! The commands, and the descriptors of a case.

use crate::fields::{self, Fields};
use crate::{flags, payload, Failure, Library};
use std::collections::BTreeSet;
use std::io::{IoSlice, IoSliceMut};
use std::mem;
use std::os::fd::RawFd;

/// The socket of a case, and every descriptor to close when the case ends.
#[derive(Default)]
pub struct Peer {
    sock: RawFd,
    open: BTreeSet<RawFd>,
}

impl Peer {
    /// Carries out a command.
    pub fn answer<L: Library>(&mut self, line: &str) -> Result<String, Failure> {
        let (verb, mut fields) = fields::parse(line)?;
        match verb {
            "hello" => {
                fields.end()?;
                let (name, version, can) = (L::NAME, L::VERSION, L::CAN);
                let polls = if L::POLLS { " polls=yes" } else { "" };
                return Ok(format!(
                    "ok name={name} lang=rust version={version} can={can}{polls}"
                ));
            }
            "use" => {
                let sock = fields::list(fields.take("sock")?)?;
                let given = fields::list(fields.take_or_none("fds"))?;
                fields.end()?;
                if sock.len() != 1 || sock.iter().chain(&given).any(|&fd| fd < 0) {
                    return Err(Failure::Unsupported);
                }
                self.close_all();
                self.sock = sock[0];
                self.open.extend(sock);
                self.open.extend(given);
            }
            "send" => return self.send::<L>(fields),
            "recv" => return self.recv::<L>(fields),
            "close" => {
                let fds = fields::list(fields.take("fds")?)?;
                fields.end()?;
                if !fds.iter().all(|fd| self.open.contains(fd)) {
                    return Err(Failure::Unsupported);
                }
                for fd in fds {
                    if self.open.remove(&fd) {
                        close(fd);
                    }
                }
            }
            "end" => {
                fields.end()?;
                self.close_all();
            }
            _ => return Err(Failure::Unsupported),
        }
        Ok("ok".to_string())
    }

    fn send<L: Library>(&self, mut fields: Fields) -> Result<String, Failure> {
        let at = fields::integer(fields.take_or("at", "0"), 0..=usize::MAX / 2)?;
        let payload = payload::parse(fields.take("payload")?, at)?;
        let fds = fields::list(fields.take("fds")?)?;
        let flags = flags::parse(fields.take_or_none("flags"), flags::SEND)?;
        fields.end()?;
        self.able::<L>(payload.len(), flags)?;

        let bufs: Vec<_> = payload.iter().map(|buf| IoSlice::new(buf)).collect();
        let n = L::send(self.sock, &bufs, &fds, flags)?;
        Ok(format!("ok n={n}"))
    }

    fn recv<L: Library>(&mut self, mut fields: Fields) -> Result<String, Failure> {
        let at = fields::integer(fields.take_or("at", "0"), 0..=usize::MAX / 2)?;
        let sizes = fields.take("bytes")?.split(',');
        let sizes = sizes.map(|word| fields::integer(word, 0..=payload::MAX));
        let sizes = sizes.collect::<Result<Vec<_>, _>>()?;
        let room = fields::integer(fields.take("fds")?, 0..=65535)?;
        let flags = flags::parse(fields.take_or_none("flags"), flags::RECV)?;
        fields.end()?;
        self.able::<L>(sizes.len(), flags)?;

        let mut room_for: Vec<_> = sizes.iter().map(|&size| vec![0; size]).collect();
        let mut bufs: Vec<_> = room_for.iter_mut().map(|b| IoSliceMut::new(b)).collect();
        let got = L::recv(self.sock, &mut bufs, room, flags)?;
        self.open.extend(&got.fds);

        let mut bytes = room_for.concat();
        bytes.truncate(got.n); // with MSG_TRUNC the count may exceed the buffers
        let mut fds: Vec<_> = got.fds.iter().map(RawFd::to_string).collect();
        if got.closed > 0 {
            fds.push(format!("closed:{}", got.closed));
        }
        let mut answer = format!("ok n={} payload={}", got.n, payload::format(&bytes, at));
        answer += &format!(" fds={}", fields::join(&fds));
        if let Some(bits) = got.flags {
            answer += &format!(" flags={}", flags::format(bits));
        }
        Ok(answer)
    }

    /// Rejects a message that `can` does not include, and a command without a socket.
    fn able<L: Library>(&self, bufs: usize, flags: i32) -> Result<(), Failure> {
        let can = |what| L::CAN.split(',').any(|word| word == what);
        let able = (bufs == 1 || can("iov")) && (flags == 0 || can("flags"));
        if able && self.open.contains(&self.sock) {
            return Ok(());
        }
        Err(Failure::Unsupported)
    }

    fn close_all(&mut self) {
        mem::take(&mut self.open).into_iter().for_each(close);
    }
}

fn close(fd: RawFd) {
    // SAFETY: the descriptor belongs to the case, and no object here owns it.
    unsafe { libc::close(fd) };
}
