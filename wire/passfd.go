package wire

// Passfd is the format of FdPassingExt in the Rust crate passfd.
//
// The socket is a stream. A message is four zero bytes (a C int) and one descriptor. Send accepts no text.
// msg_controllen is CMSG_SPACE. There is no acknowledgement. Recv accepts any four bytes.
//
// See [Format] for who owns the descriptors, on success and on error.
var Passfd Format = fixed{label{"passfd", "unix"}, "\x00\x00\x00\x00"}
