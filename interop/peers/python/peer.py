"""The common part of the peers in Python, which implements interop/peers/README.md."""

import errno
import os
import platform
import socket
import sys

PAYLOAD_MAX = 64 << 20
errno.errorcode[errno.EOPNOTSUPP] = "EOPNOTSUPP"  # not ENOTSUP, which the socket manuals do not use


def bits(names):
    return {name: int(getattr(socket, "MSG_" + name.upper())) for name in names.split()}


SEND = bits("dontwait nosignal eor oob more")
RECV = bits("dontwait peek trunc waitall oob")
REPORTED = bits("ctrunc trunc eor oob")


def items(text):
    return [] if text == "-" else text.split(",")


def integer(text, least=0, most=2**31 - 1):
    """Accepts an integer only as it would be printed. int() also accepts +3, 03 and 1_000."""
    n = int(text)
    if str(n) != text or not least <= n <= most:
        raise ValueError(text)
    return n


def integers(text, least=0):
    return [integer(word, least) for word in items(text)]


def pattern(at, count):
    return bytes((at + i) % 251 for i in range(count))


def buffer(text, at):
    if text == "-":
        return b""
    if text.startswith("@"):
        return pattern(at, integer(text[1:], 1, PAYLOAD_MAX))
    data = bytes.fromhex(text)
    if data.hex() != text or not 0 < len(data) <= PAYLOAD_MAX:
        raise ValueError(text)
    return data


def format_payload(data, at):
    if len(data) <= 4096:
        return data.hex() or "-"
    pairs = enumerate(zip(data, pattern(at, len(data))))
    return next((f"!{i}" for i, (a, b) in pairs if a != b), f"@{len(data)}")


def format_flags(flags):
    flags &= ~int(socket.MSG_CMSG_CLOEXEC)
    names = [name for name, bit in REPORTED.items() if flags & bit]
    rest = flags & ~sum(REPORTED.values())
    return ",".join(names + [hex(rest)] * bool(rest)) or "-"


class Unsupported(Exception):
    """The peer or the library does not support the command, and nothing was done."""


class Peer:
    """One interface of one library. The subclass defines HELLO, send_message and recv_message."""

    sock = None  # the descriptor of the case's socket
    opened = None  # the socket object, created at the first message
    held = frozenset()  # given or received, and still open

    def hello(self):
        return f"ok lang=python version={platform.python_version()} {self.HELLO}"

    def use(self, sock, fds="-"):
        sock, fds = integer(sock), integers(fds)
        self.end()
        self.sock, self.held = sock, {sock, *fds}
        return "ok"

    def send(self, payload, fds, at="0", flags="-"):
        data = buffer(payload, integer(at, most=sys.maxsize))
        fds, flags = integers(fds, least=-(2**31)), sum(SEND[name] for name in items(flags))
        return self.call(lambda: f"ok n={self.send_message(self.opened, data, fds, flags)}")

    def recv(self, bytes, fds, at="0", flags="-"):
        size, room = integer(bytes, most=PAYLOAD_MAX), integer(fds, most=65535)
        at = integer(at, most=sys.maxsize)
        flags = sum(RECV[name] for name in items(flags))

        def recv():
            data, fds, reported = self.recv_message(self.opened, size, room, flags)
            self.held.update(fds)
            answer = f"ok n={len(data)} payload={format_payload(data, at)}"
            answer += f" fds={','.join(map(str, fds)) or '-'}"
            return answer if reported is None else f"{answer} flags={format_flags(reported)}"

        return self.call(recv)

    def call(self, library):
        if self.sock not in self.held:
            return "unsupported"
        try:
            self.opened = self.opened or socket.socket(fileno=self.sock)
            return library()
        except Unsupported:
            return "unsupported"
        except EOFError:
            return "ok n=0 payload=- fds=- eof"
        except OSError as e:
            return f"err {errno.errorcode.get(e.errno, e.errno)}"
        except (AssertionError, OverflowError, RuntimeError, ValueError) as e:
            return f"err lib {e}"

    def close(self, fds):
        fds = set(integers(fds))
        if not fds <= self.held:
            return "unsupported"
        for fd in fds:
            if fd == self.sock and self.opened:
                self.opened.detach()
            os.closerange(fd, fd + 1)
        self.held -= fds
        return "ok"

    def end(self):
        self.close(",".join(map(str, self.held)) or "-")
        self.sock = self.opened = None
        return "ok"


def serve(peer):
    verbs = {
        verb.__name__: verb
        for verb in (peer.hello, peer.use, peer.send, peer.recv, peer.close, peer.end)
    }
    sys.stdin.reconfigure(errors="replace", newline="\n")
    sys.stdout.reconfigure(encoding="ascii", errors="replace")
    for line in sys.stdin:
        try:
            verb, *words = line.rstrip("\n").split(" ")
            fields = dict(word.split("=", 1) for word in words)
            answer = verbs[verb](**fields) if len(fields) == len(words) else "unsupported"
        except (KeyError, TypeError, ValueError):
            answer = "unsupported"
        print(answer, flush=True)
