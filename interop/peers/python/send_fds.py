"""Peer for socket.send_fds and socket.recv_fds.

The peer keeps their faults: recv_fds ignores its flags (python/cpython#107898; send_fds
did, until #127840) and does not set close-on-exec.
"""

import platform
import socket

from borrowed import borrowed
from peer import Peer


class SendFDs(Peer):
    HELLO = (
        f"name=python version={platform.python_version()} can=stream,dgram,seqpacket,multi,flags"
    )

    def library_send(self, sock, payload, fds, flags):
        with borrowed(sock) as s:
            return socket.send_fds(s, [payload], fds, flags)

    def library_recv(self, sock, most, room, flags):
        with borrowed(sock) as s:
            return socket.recv_fds(s, most, room, flags)[:3]


SendFDs().serve()
