"""A varlink client made of libsystemd's sd-varlink, on descriptor 3: varlink.py MESSAGES BATCH.

It sends messages with 0 to 3 files, and flushes them in batches: sd-varlink puts the messages of a batch
into one sendmsg, up to the next one with files. It exits with 77 if there is no libsystemd with sd-varlink.
"""

import ctypes
import ctypes.util
import os
import sys

try:
    lib = ctypes.CDLL(ctypes.util.find_library("systemd") or "libsystemd.so.0")
    push_fd = lib.sd_varlink_push_fd
except (AttributeError, OSError) as missing:
    print(missing)
    sys.exit(77)


def check(result):
    if result < 0:
        sys.exit(os.strerror(-result))
    return result


def send(link, index):
    files = (0, 1, 0, 0, 2, 3)[index % 6]
    for i in range(files):
        fd = os.memfd_create("file")
        os.write(fd, b"file %d of message %d" % (i, index))
        check(push_fd(link, fd))
    text = b'{"index":%d,"files":%d,"text":"%s"}' % (index, files, b"x" * (index % 50))
    message = ctypes.c_void_p()
    check(lib.sd_json_parse(text, 0, ctypes.byref(message), None, None))
    check(lib.sd_varlink_send(link, b"org.example.Send", message))
    lib.sd_json_variant_unref(message)


def main(messages, batch):
    lib.sd_json_variant_unref.restype = ctypes.c_void_p
    link = ctypes.c_void_p()
    check(lib.sd_varlink_connect_fd(ctypes.byref(link), 3))
    check(lib.sd_varlink_set_allow_fd_passing_output(link, 1))
    for index in range(messages):
        send(link, index)
        if (index + 1) % batch == 0:
            # process moves messages from the queue to the buffer, flush waits until the buffer is sent.
            while check(lib.sd_varlink_process(link)) or check(lib.sd_varlink_flush(link)):
                pass
    check(lib.sd_varlink_close(link))


main(*map(int, sys.argv[1:]))
