"""A peer for scm interop: it reads commands on standard input and answers on standard output.

Call your library in library_send and library_recv: raise Unsupported for what it has no interface for.

    python3 peer.py
"""

import contextlib
import os
import re
import signal
import sys


class Unsupported(Exception):
    """The library, or this peer, has no interface for the command."""


def library_send(sock: int, payload: bytes, fds: list[int]) -> int:
    """Sends the payload and the descriptors, and returns the count that the library reports."""
    raise Unsupported


def library_recv(sock: int, most: int, room: int) -> tuple[bytes, list[int]]:
    """Receives at most so many bytes and descriptors."""
    raise Unsupported


held: list[int] = []  # the socket of the case, its files, and what was received


def close(fds: list[int]) -> None:
    if not set(fds) <= set(held):
        raise Unsupported
    for fd in fds:
        held.remove(fd)
        with contextlib.suppress(OSError):  # the library may have reported what is not open
            os.close(fd)


def formed(form: str, text: str) -> str:
    if not re.fullmatch(form, text):
        raise Unsupported
    return text


def number(text: str) -> int:
    return int(formed(r"0|[1-9]\d{0,8}", text))


def numbers(text: str) -> list[int]:
    text = formed(r"-|-?\d+(,-?\d+)*", text)
    return [] if text == "-" else [int(word) for word in text.split(",")]


def pattern(length: int, at: int) -> bytes:
    """The bytes that @N stands for."""
    return bytes((at + i) % 251 for i in range(length))


def shown(payload: bytes, at: int) -> str:
    if len(payload) <= 4096:
        return payload.hex() or "-"
    wanted = pattern(len(payload), at)
    if payload == wanted:
        return f"@{len(payload)}"
    return f"!{next(i for i, byte in enumerate(payload) if byte != wanted[i])}"


def send(payload: str, fds: str, at: int) -> str:
    if payload.startswith("@"):
        data = pattern(number(payload[1:]), at)
    else:
        data = bytes.fromhex(formed("-|([0-9a-f]{2})+", payload).strip("-"))
    return f"ok n={library_send(held[0], data, numbers(fds))}"


def recv(most: str, room: str, at: int) -> str:
    payload, fds = library_recv(held[0], number(most), number(room))
    held.extend(fds)
    listed = ",".join(map(str, fds)) or "-"
    return f"ok n={len(payload)} payload={shown(payload, at)} fds={listed}"


def answer(line: str) -> str:
    verb, *words = line.split(" ")
    fields = dict(word.partition("=")[::2] for word in words)
    at = number(fields.pop("at", "0"))
    command = " ".join([verb, *sorted(fields)])
    if command == "hello":
        return "ok name=mine lang=python version=0 can=stream,dgram,seqpacket,multi"
    if command == "send fds payload" and held:
        return send(fields["payload"], fields["fds"], at)
    if command == "recv bytes fds" and held:
        return recv(fields["bytes"], fields["fds"], at)
    if command == "close fds":
        close(numbers(fields["fds"]))
    elif command in {"use sock", "use fds sock"}:
        close(list(held))
        held.extend([number(fields["sock"]), *numbers(fields.get("fds", "-"))])
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
        said = f"err {error.errno}"
    print(said, flush=True)
