"""Peer for socket.send_fds and socket.recv_fds.

The peer keeps their faults: recv_fds ignores its flags (python/cpython#107898; send_fds
did, until #127840) and does not set close-on-exec.
"""

import socket

import peer


class SendFDs(peer.Peer):
    HELLO = "name=python can=stream,dgram,seqpacket,multi,flags"

    def send_message(self, sock, data, fds, flags):
        return socket.send_fds(sock, [data], fds, flags)

    def recv_message(self, sock, size, room, flags):
        return socket.recv_fds(sock, size, room, flags)[:3]


peer.serve(SendFDs())
