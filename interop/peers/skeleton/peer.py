"""A peer for scm interop: it reads commands from standard input and answers on standard output.

Call your library in library_send and library_recv. Raise Unsupported if it has no interface for
the command. Any other exception becomes an error answer.

    python3 peer.py
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import sys

MAX_INT = 2**31 - 1
MAX_PAYLOAD = 64 << 20


class Unsupported(Exception):
    """The library, or this peer, has no interface for the command."""


# The socket is borrowed, here and in library_recv: detach() a socket.socket that is made from it,
# because the descriptor is otherwise closed with that object.
def library_send(sock: int, payload: bytes, fds: list[int]) -> int:
    """Sends the payload and the descriptors, and returns the count that the library reports."""
    raise Unsupported


def library_recv(sock: int, most: int, room: int) -> tuple[bytes, list[int], int | None]:
    """Receives at most this many bytes and descriptors.
    Returns the payload, the descriptors, and msg_flags, or None if the library reports no flags."""
    raise Unsupported


held: set[int] = set()  # the socket of the case, its files, and the descriptors received
case_sock = -1


def close(fds: list[int]) -> None:
    if not held.issuperset(fds):
        raise Unsupported
    for fd in set(fds):
        held.remove(fd)
        with contextlib.suppress(
            OSError
        ):  # the library may have reported a descriptor that is not open
            os.close(fd)


def integer(text: str, least: int = 0, most: int = MAX_INT) -> int:
    if not re.fullmatch(r"0|-?[1-9][0-9]{0,9}", text) or not least <= int(text) <= most:
        raise Unsupported
    return int(text)


def integers(text: str, least: int = 0) -> list[int]:
    return [] if text == "-" else [integer(word, least) for word in text.split(",")]


def pattern(length: int, at: int) -> bytes:
    """Returns the bytes of the payload @N."""
    period = bytes((at + i) % 251 for i in range(251))
    return (period * (length // 251 + 1))[:length]


def shown(payload: bytes, at: int) -> str:
    if len(payload) <= 4096:
        return payload.hex() or "-"
    wanted = pattern(len(payload), at)
    if payload == wanted:
        return f"@{len(payload)}"
    return f"!{next(i for i, byte in enumerate(payload) if byte != wanted[i])}"


def payload_of(text: str, at: int) -> bytes:
    if text == "-":
        return b""
    if text.startswith("@"):
        return pattern(integer(text[1:], 1, MAX_PAYLOAD), at)
    if not re.fullmatch(r"([0-9a-f]{2})+", text):
        raise Unsupported
    return bytes.fromhex(text)


def shown_flags(flags: int) -> str:
    flags &= ~0x40000000  # MSG_CMSG_CLOEXEC is not reported
    names = []
    for name, bit in {"oob": 0x1, "ctrunc": 0x8, "trunc": 0x20, "eor": 0x80}.items():
        if flags & bit:
            names.append(name)
            flags &= ~bit
    if flags:
        names.append(f"{flags:#x}")
    return ",".join(names) or "-"


def send(fields: dict[str, str]) -> str:
    at = integer(fields.get("at", "0"))
    payload, fds = payload_of(fields["payload"], at), integers(fields["fds"], -MAX_INT - 1)
    if case_sock not in held:
        raise Unsupported
    return f"ok n={library_send(case_sock, payload, fds)}"


def recv(fields: dict[str, str]) -> str:
    at = integer(fields.get("at", "0"))
    most, room = integer(fields["bytes"], 0, MAX_PAYLOAD), integer(fields["fds"], 0, 65535)
    if case_sock not in held:
        raise Unsupported
    payload, fds, flags = library_recv(case_sock, most, room)
    held.update(fds)
    listed = ",".join(map(str, fds)) or "-"
    said = f"ok n={len(payload)} payload={shown(payload, at)} fds={listed}"
    return said if flags is None else f"{said} flags={shown_flags(flags)}"


def answer(line: str) -> str:
    global case_sock
    verb, *words = line.split(" ")
    fields = dict(word.partition("=")[::2] for word in words)
    if len(fields) < len(words):
        raise Unsupported  # a field occurs twice
    command = " ".join([verb, *sorted(fields)])
    if command == "hello":
        # Use your library's name and version. Expected failures can depend on the version.
        return "ok name=mine lang=python version=0 can=stream,dgram,seqpacket,multi"
    if command in {"send fds payload", "send at fds payload"}:
        return send(fields)
    if command in {"recv bytes fds", "recv at bytes fds"}:
        return recv(fields)
    if command == "close fds":
        close(integers(fields["fds"]))
    elif command in {"use sock", "use fds sock"}:
        sock, fds = integer(fields["sock"]), integers(fields.get("fds", "-"))
        close(list(held))
        held.update([sock, *fds])
        case_sock = sock
    elif command == "end":
        close(list(held))
    else:
        raise Unsupported
    return "ok"


signal.signal(signal.SIGPIPE, signal.SIG_IGN)
for command in sys.stdin:
    try:
        said = answer(command.rstrip("\n"))
    except Unsupported:
        said = "unsupported"
    except OSError as error:
        known = error.errno in errno.errorcode
        said = f"err {error.errno}" if known else f"err lib {str(error)!a}"
    except Exception as error:  # noqa: BLE001
        said = f"err lib {repr(error)!a}"
    print(said, flush=True)
