"""A peer for scm interop: it reads commands from standard input and answers on standard output.

Call your library in library_send and library_recv. Raise Unsupported if it has no interface for
the command. Any other exception becomes an error answer.

    python3 peer.py
"""

import errno
import inspect
import os
import re
import socket
import sys

MAX_INT, MAX_PAYLOAD = 2**31 - 1, 64 << 20


class Unsupported(Exception):
    """The library, or this peer, has no interface for the command."""


class Peer:  # one interface of one library
    # Use your library's name and version. Expected failures can depend on the version.
    # In can=, multi promises several descriptors in a message, iov several buffers, and flags
    # calls with flags of the caller's choice, rather than the flags that a receive reports.
    # If the library waits in an event loop, add polls=yes.
    HELLO = "name=mine version=0 can=stream,dgram,seqpacket,multi"

    # The socket is borrowed, here and in library_recv: detach() a socket.socket that is made from
    # it, which otherwise closes it. The flags are 0 unless can= has the word flags.
    def library_send(self, sock: int, payload: bytes, fds: list[int], flags: int) -> int:
        """Sends the payload and the descriptors, and returns the count that the library reports."""
        raise Unsupported

    def library_recv(self, sock: int, most: int, room: int, flags: int):
        """Receives at most this many bytes and descriptors.
        Returns the payload, the descriptors, and msg_flags, or None if the library reports none.
        Raises EOFError if the library reports the end of the stream."""
        raise Unsupported

    sock = -1
    held = frozenset()  # the socket of the case, its files, and the descriptors received

    def hello(self):
        return f"ok lang=python {self.HELLO}"

    def use(self, sock, fds="-"):
        sock, fds = integer(sock), integers(fds)
        self.end()
        self.sock, self.held = sock, {sock, *fds}
        return "ok"

    def send(self, payload, fds, at="0", flags="-"):
        data, fds = payload_of(payload, integer(at)), integers(fds, -MAX_INT - 1)
        return f"ok n={self.library_send(self.sock, data, fds, self.flags(SEND, flags))}"

    def recv(self, bytes, fds, at="0", flags="-"):
        at, most, room = integer(at), integer(bytes, 0, MAX_PAYLOAD), integer(fds, 0, 65535)
        data, got, told = self.library_recv(self.sock, most, room, self.flags(RECV, flags))
        self.held.update(got)
        said = f"ok n={len(data)} payload={shown(data, at)} fds={listed(got)}"
        return said if told is None else f"{said} flags={shown_flags(told)}"

    def flags(self, known, flags):
        names = [] if flags == "-" else flags.split(",")
        if self.sock not in self.held or not known.issuperset(names):
            raise Unsupported
        return bits(names)

    def close(self, fds):
        fds = set(integers(fds))
        if not self.held.issuperset(fds):
            raise Unsupported
        self.held -= fds
        for fd in fds:
            os.closerange(fd, fd + 1)  # the library may have reported a descriptor that is not open
        return "ok"

    def end(self):
        return self.close(listed(self.held))

    def answer(self, line):
        verb, *words = line.split(" ")
        fields = dict(word.partition("=")[::2] for word in words)
        if verb not in {"hello", "use", "send", "recv", "close", "end"} or len(fields) < len(words):
            raise Unsupported
        try:
            inspect.signature(getattr(self, verb)).bind(**fields)
        except TypeError:  # a field is missing or unknown
            raise Unsupported from None
        return getattr(self, verb)(**fields)

    def serve(self):
        sys.stdin.reconfigure(errors="replace", newline="\n")
        sys.stdout.reconfigure(errors="backslashreplace")
        for line in sys.stdin:
            try:
                said = self.answer(line.rstrip("\n"))
            except Unsupported:
                said = "unsupported"
            except EOFError:
                said = "ok n=0 payload=- fds=- eof"
            except Exception as e:  # noqa: BLE001
                number = getattr(e, "errno", None)
                text = " ".join(str(e or repr(e)).split())
                said = f"err {number}" if number in errno.errorcode else f"err lib {text}"
            print(said, flush=True)


SEND = {"dontwait", "nosignal", "eor", "oob", "more"}
RECV = {"dontwait", "peek", "trunc", "waitall", "oob"}


def integer(text, least=0, most=MAX_INT):
    if not re.fullmatch(r"0|-?[1-9][0-9]{0,9}", text) or not least <= int(text) <= most:
        raise Unsupported
    return int(text)


def integers(text, least=0):
    return [] if text == "-" else [integer(word, least) for word in text.split(",")]


def listed(items):
    return ",".join(map(str, items)) or "-"


def pattern(length, at):
    period = bytes((at + i) % 251 for i in range(251))
    return (period * (length // 251 + 1))[:length]


def payload_of(text, at):
    if text.startswith("@"):
        return pattern(integer(text[1:], 1, MAX_PAYLOAD), at)
    if not re.fullmatch(r"-|([0-9a-f]{2})+", text):
        raise Unsupported
    return bytes.fromhex(text.strip("-"))


def shown(payload, at):
    if len(payload) <= 4096:
        return payload.hex() or "-"
    wanted = pattern(len(payload), at)
    if payload == wanted:
        return f"@{len(payload)}"
    return f"!{next(i for i, byte in enumerate(payload) if byte != wanted[i])}"


def bits(names):
    return sum(int(getattr(socket, "MSG_" + name.upper())) for name in names)


def shown_flags(flags):
    names = [name for name in ["ctrunc", "trunc", "eor", "oob"] if flags & bits([name])]
    rest = flags & ~bits([*names, "cmsg_cloexec"])  # which is not reported
    return listed([*names, hex(rest)] if rest else names)


if __name__ == "__main__":
    Peer().serve()
