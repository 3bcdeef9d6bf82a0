package wire

// OpenSSH is the format of mm_send_fd and mm_receive_fd in OpenSSH. With ProxyUseFdpass, a ProxyCommand
// sends the connected socket in this format through its standard output. A multiplexing client sends its
// standard input, output and error to the master in three such messages. netcat-openbsd (with the -F
// option) and GLib's g_unix_connection_send_fd use the same format.
//
// The format uses a stream socket. A message consists of one zero byte and one descriptor. The text to send
// must be empty. Send sets msg_controllen to CMSG_SPACE. The receiver does not acknowledge messages. Recv
// accepts any byte, not only zero.
//
// See [Format] for who owns the descriptors on success and on error.
var OpenSSH Format = fixed{label{"openssh", "unix"}, "\x00", false}
