"""Call one of Python's own functions on socket 3, with N files from descriptor 4 on.

With ACKNOWLEDGE as the last argument, multiprocessing acknowledges as on macOS.
"""

import os
import socket
import sys
from multiprocessing import connection, reduction

n = int(sys.argv[2])
reduction.ACKNOWLEDGE = len(sys.argv) > 3
sock = socket.socket(fileno=3)


def tell(fds):
    """Print the content of each file, which is short."""
    print([os.read(fd, 100).decode() for fd in fds])


def sendfds():
    reduction.sendfds(sock, range(4, 4 + n))


def recvfds():
    tell(reduction.recvfds(sock, n))


def send_handle():
    reduction.send_handle(connection.Connection(os.dup(3)), 4, os.getppid())


def recv_handle():
    tell([reduction.recv_handle(connection.Connection(os.dup(3)))])


def send_fds():
    socket.send_fds(sock, [b"some ", b"bytes"], range(4, 4 + n))


def recv_fds():
    data, fds, flags, _ = socket.recv_fds(sock, 100, n)
    print(data.decode(), flags)
    tell(fds)


globals()[sys.argv[1]]()
