package wire

// OpenSSH is mm_send_fd and mm_receive_fd of OpenSSH: what a ProxyCommand under
// ProxyUseFdpass sends on its standard output (the connected socket), and what a
// multiplexing client sends to its master (standard input, output and error, in
// three messages). netcat-openbsd's -F and GLib's g_unix_connection_send_fd
// send the same.
//
// Stream. One 0 byte and one descriptor; no text. Control of CMSG_SPACE. The
// receiver needs one byte, and does not look at it. No acknowledgement.
//
// [Format] says who owns descriptors, also on error.
var OpenSSH Format = fixed{label{"openssh", "unix"}, "\x00"}
