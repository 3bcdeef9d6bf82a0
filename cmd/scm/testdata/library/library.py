import array
import os
import socket
import sys


def library_send(sock, payload, fds):
    s = socket.socket(fileno=sock)
    try:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        return s.sendmsg([payload], rights)
    finally:
        s.detach()


def library_recv(sock, most, room):
    s = socket.socket(fileno=sock)
    try:
        control = socket.CMSG_LEN(4 * room) if room > 0 else 0
        payload, messages, flags, _ = s.recvmsg(most, control, socket.MSG_CMSG_CLOEXEC)
    finally:
        s.detach()
    fds = []
    for level, kind, data in messages:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.extend(array.array("i", data))
        elif (level, kind) == (socket.SOL_SOCKET, 4):  # SCM_PIDFD
            os.close(int.from_bytes(data, sys.byteorder))
    return payload, fds, flags
