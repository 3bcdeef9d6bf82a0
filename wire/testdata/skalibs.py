"""Send CHARACTER and descriptor FD through socket 3 with skalibs' ancil_send_fd."""

import ctypes
import ctypes.util
import os
import sys

lib = ctypes.CDLL(ctypes.util.find_library("skarnet"), use_errno=True)


if not lib.ancil_send_fd(3, int(sys.argv[2]), ctypes.c_char(sys.argv[1].encode())):
    sys.exit(os.strerror(ctypes.get_errno()))
