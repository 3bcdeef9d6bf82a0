"""Open files for an unprivileged program: opener.py FOLDER USER COMMAND..."""

import os
import socket
import subprocess
import sys


def main():
    folder, user, *command = sys.argv[1:]
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    os.set_inheritable(theirs.fileno(), True)
    command.append(str(theirs.fileno()))
    # Only root can run a program as another user.
    rights = {"user": int(user), "group": int(user), "extra_groups": []} if os.getuid() == 0 else {}
    worker = subprocess.Popen(command, pass_fds=[theirs.fileno()], **rights)
    theirs.close()

    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    while name := ours.recv(256):
        try:
            name = name.decode()
            if "/" in name or name.startswith("."):
                raise PermissionError("not a plain file name")
            # O_NONBLOCK: opening a FIFO must not block.
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=at)
        except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a 0 byte
            ours.send(str(error).encode())
            continue
        socket.send_fds(ours, [b"ok"], [fd])
        os.close(fd)
    sys.exit(worker.wait())


main()
