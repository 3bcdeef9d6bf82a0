"""Peer for sendfds and recvfds of multiprocessing.reduction.

They send a byte with the count of the descriptors, modulo 256. This peer passes one
descriptor, because a peer has a single payload.
"""

from multiprocessing.reduction import recvfds, sendfds

import peer

BYTE = b"\x01"


class Reduction(peer.Peer):
    HELLO = f"name=multiprocessing can=stream,dgram,seqpacket room=1,* payload={BYTE.hex()}"

    def send_message(self, sock, data, fds, flags):
        if data != BYTE or len(fds) != 1 or flags:
            raise peer.Unsupported
        sendfds(sock, fds)
        return len(data)

    # recvfds does not report the payload, but checks that it is the count.
    def recv_message(self, sock, size, room, flags):
        if flags:
            raise peer.Unsupported
        fds = recvfds(sock, room)
        return bytes([len(fds) % 256]), fds, None


peer.serve(Reduction())
