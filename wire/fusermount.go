package wire

// Fusermount is what fusermount3 (and fusermount) of libfuse sends to the socket of which
// _FUSE_COMMFD has the number: the open /dev/fuse of what it mounted.
//
// Stream. One 0 byte and one descriptor; no text. Control of CMSG_SPACE. The receiver
// needs one byte, and does not look at it. No acknowledgement. A mount that failed is the
// end of the stream.
//
// [Format] says who owns descriptors, also on error.
var Fusermount Format = fixed{label{"fusermount", "unix"}, "\x00"}
