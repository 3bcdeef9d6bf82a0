"""Call skalibs' ancil functions on socket 3: send CHARACTER FD, or recv CHARACTER."""

import ctypes
import ctypes.util
import os
import sys

lib = ctypes.CDLL(ctypes.util.find_library("skarnet"), use_errno=True)


def check(result):
    if result < 0 or result is False:
        sys.exit(os.strerror(ctypes.get_errno()))
    return result


verb, character = sys.argv[1], ctypes.c_char(sys.argv[2].encode())
if verb == "send":
    print(check(lib.ancil_send_fd(3, int(sys.argv[3]), character)))
else:
    print(os.read(check(lib.ancil_recv_fd(3, character)), 100).decode())
