"""Send descriptor FD through socket 3 with GLib's GUnixConnection."""

import ctypes
import sys

gio = ctypes.CDLL("libgio-2.0.so.0")
pointer = ctypes.c_void_p


class GError(ctypes.Structure):
    _fields_ = [("domain", ctypes.c_uint32), ("code", ctypes.c_int), ("message", ctypes.c_char_p)]


error = ctypes.POINTER(GError)()


def call(function, result, *arguments):
    function.restype = result
    value = function(*arguments, ctypes.byref(error))
    if error:
        sys.exit(error.contents.message.decode())
    return value


sock = call(gio.g_socket_new_from_fd, pointer, 3)
gio.g_socket_connection_factory_create_connection.restype = pointer
connection = pointer(gio.g_socket_connection_factory_create_connection(pointer(sock)))
print(call(gio.g_unix_connection_send_fd, ctypes.c_int, connection, int(sys.argv[1]), None))
