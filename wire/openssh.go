package wire

// OpenSSH is the format of mm_send_fd and mm_receive_fd in OpenSSH. A ProxyCommand with ProxyUseFdpass
// sends the connected socket through its standard output. A multiplexing client sends its standard input,
// output and error in three messages. netcat-openbsd (with the -F option) and GLib's
// g_unix_connection_send_fd use the same format. The payload is one zero byte.
var OpenSSH Format = fixed{label{"openssh", "unix"}, "\x00", false}
