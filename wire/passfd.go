package wire

// Passfd is the format of FdPassingExt in the Rust crate passfd.
//
// The format uses a stream socket. A message consists of four zero bytes (a C int) and one descriptor. The
// text to send must be empty. Send sets msg_controllen to CMSG_SPACE. The receiver does not acknowledge
// messages. Recv accepts any four bytes, not only zeros.
//
// See [Format] for who owns the descriptors on success and on error.
var Passfd Format = fixed{label{"passfd", "unix"}, "\x00\x00\x00\x00", false}
