"""An addition to peer.py, for libraries that take a socket object."""

import contextlib
import socket


@contextlib.contextmanager
def borrowed(sock):
    """Provides a socket object for a descriptor, and does not close the descriptor with it."""
    s = socket.socket(fileno=sock)
    try:
        yield s
    finally:
        s.detach()
