"""A server that takes over from another process, and hands over to the next one: successor.py PATH.

It speaks the protocol that the documentation of package handover describes. It greets each client of
the socket "web" with its PID, waits for a line, and answers with its PID again.
"""

import json
import os
import select
import socket
import struct
import sys


def say(*words):
    os.write(1, (" ".join(map(str, (os.getpid(), *words))) + "\n").encode())  # in one piece


def send(conn, kind, fds=(), **fields):
    text = json.dumps({"type": kind, "descriptors": len(fds), **fields}).encode()
    message = struct.pack(">I", len(text)) + text
    sent = socket.send_fds(conn, [message], fds)
    if sent < len(message):  # even an empty send fails when the other process has ended
        conn.sendall(message[sent:])


def receive(conn, kind=None):
    """Receive a message of this kind or, without one, any message but abort."""
    size, fds, _, _ = socket.recv_fds(conn, 4, 253)
    if len(size) < 4:
        raise EOFError("the other process has ended")
    message = json.loads(conn.recv(*struct.unpack(">I", size), socket.MSG_WAITALL))
    if message["type"] != (kind or message["type"]) or message["type"] == "abort":
        raise EOFError(message.get("reason", message["type"]))
    known = len(message.get("sockets", []))
    for fd in fds[known:]:
        os.close(fd)  # it belongs to a field of a later version
    return message, fds[:known]


def take_over(path):
    """Return the predecessor's sockets: their descriptions, and their descriptors."""
    conn = socket.socket(socket.AF_UNIX)
    conn.connect(path)
    send(conn, "hello", versions=[1], needs=10_000)
    sockets, fds, more = [], [], True
    while more:
        message, received = receive(conn, "sockets")
        sockets += message["sockets"]
        fds += received
        more = message.get("more")
    send(conn, "ready")
    receive(conn, "go")
    send(conn, "going")
    return sockets, fds


def hand_over(conn, sockets, fds):
    receive(conn, "hello")
    life, end = os.pipe()
    try:
        sockets = [{"name": ":life"}, *sockets]
        send(conn, "sockets", [life, *fds], version=1, sockets=sockets)
        receive(conn, "ready")
        send(conn, "go")
        receive(conn)  # going, or something else of a successor that may serve
    except (EOFError, OSError):
        os.write(end, b"\0")  # this process has not died
        raise
    finally:
        os.close(life)
        os.close(end)


def serve(sockets, fds):
    names = [s["name"] for s in sockets]
    life = names.index(":life")
    os.close(fds.pop(life))
    del sockets[life], names[life]
    control, web = (socket.socket(fileno=fds[names.index(n)]) for n in (":control", "web"))
    while True:
        for listener in select.select([control, web], [], [])[0]:
            try:
                conn, _ = listener.accept()
                with conn:
                    if listener is control:
                        return hand_over(conn, sockets, fds)
                    conn.sendall(b"%d\n" % os.getpid())
                    conn.recv(100)
                    conn.sendall(b"%d\n" % os.getpid())
            except (EOFError, OSError) as error:  # BlockingIOError: another process was faster
                say("log", error)


passed = take_over(sys.argv[1])
say("serving")
serve(*passed)
say("replaced")
