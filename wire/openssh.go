package wire

// OpenSSH is the format of mm_send_fd and mm_receive_fd in OpenSSH. With ProxyUseFdpass, a ProxyCommand
// sends the connected socket in this format to its standard output. A multiplexing client sends its
// standard input, output and error to the master in three messages. netcat-openbsd (option -F) and GLib's
// g_unix_connection_send_fd use the same format.
//
// The socket is a stream. A message is one zero byte and one descriptor. Send accepts no text.
// msg_controllen is CMSG_SPACE. There is no acknowledgement. Recv accepts any byte.
//
// See [Format] for who owns the descriptors, on success and on error.
var OpenSSH Format = fixed{label{"openssh", "unix"}, "\x00"}
