"""Call one of Python's own functions on socket 3, with N files from descriptor 4 on.

With ACKNOWLEDGE as the last argument, multiprocessing acknowledges as on macOS.
"""

import os
import socket
import sys
from multiprocessing import reduction

n = int(sys.argv[2])
reduction.ACKNOWLEDGE = len(sys.argv) > 3
sock = socket.socket(fileno=3)


def sendfds():
    reduction.sendfds(sock, range(4, 4 + n))


def recvfds():
    print([os.read(fd, 100).decode() for fd in reduction.recvfds(sock, n)])


globals()[sys.argv[1]]()
