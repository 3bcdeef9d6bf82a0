"""Peer for sendfds and recvfds of multiprocessing.reduction.

They send a byte with the count of the descriptors, modulo 256. This peer passes one
descriptor, because a peer has a single payload.
"""

import platform
from multiprocessing.reduction import recvfds, sendfds

from borrowed import borrowed
from peer import Peer, Unsupported

BYTE = b"\x01"


class Reduction(Peer):
    HELLO = (
        f"name=multiprocessing version={platform.python_version()} can=stream,dgram,seqpacket "
        f"room=1,* payload={BYTE.hex()}"
    )

    def library_send(self, sock, payload, fds, flags):
        if payload != BYTE or len(fds) != 1 or flags:
            raise Unsupported
        with borrowed(sock) as s:
            sendfds(s, fds)
        return len(payload)

    # recvfds does not report the payload, but checks that it is the count.
    def library_recv(self, sock, most, room, flags):
        if flags:
            raise Unsupported
        with borrowed(sock) as s:
            fds = recvfds(s, room)
        return bytes([len(fds) % 256]), fds, None


Reduction().serve()
