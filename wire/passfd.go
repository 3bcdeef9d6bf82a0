package wire

// Passfd is FdPassingExt of the Rust crate passfd.
//
// Stream. Four 0 bytes (a C int) and one descriptor; no text. Control of
// CMSG_SPACE. The receiver needs four bytes, and does not look at them. No
// acknowledgement.
//
// [Format] says who owns descriptors, also on error.
var Passfd Format = fixed{label{"passfd", "unix"}, "\x00\x00\x00\x00"}
