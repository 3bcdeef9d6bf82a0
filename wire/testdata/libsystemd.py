"""Call libsystemd: store FD…, barrier SECONDS, or listen."""

import ctypes
import os
import sys

lib = ctypes.CDLL("libsystemd.so.0")


def check(result):
    if result < 0:
        sys.exit(os.strerror(-result))
    return result


def store(*fds):
    array = (ctypes.c_int * len(fds))(*map(int, fds))
    state = b"FDSTORE=1\nFDNAME=foo"
    print(check(lib.sd_pid_notify_with_fds(0, 0, state, array, len(fds))))


def barrier(seconds):
    print(check(lib.sd_notify_barrier(0, ctypes.c_uint64(int(seconds) * 1_000_000))))


def listen():
    names = ctypes.POINTER(ctypes.c_char_p)()
    n = lib.sd_listen_fds_with_names(1, ctypes.byref(names))
    if n < 0:
        print("error")
        return
    for i in range(n):
        print(3 + i, names[i].decode(), not os.get_inheritable(3 + i))


globals()[sys.argv[1]](*sys.argv[2:])
