"""A library that passes descriptors. It has two faults: it does not report truncation, and it
leaves a pidfd open that the kernel adds to a message."""

import array
import socket


def send(sock, payload, fds):
    s = socket.socket(fileno=sock)
    try:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        return s.sendmsg([payload], rights)
    finally:
        s.detach()


def receive(sock, size, most):
    s = socket.socket(fileno=sock)
    try:
        control = socket.CMSG_LEN(4 * most) if most > 0 else 0
        payload, messages, _, _ = s.recvmsg(size, control, socket.MSG_CMSG_CLOEXEC)
    finally:
        s.detach()
    fds = []
    for level, kind, data in messages:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.extend(array.array("i", data))
    return payload, fds
