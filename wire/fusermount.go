package wire

// Fusermount is the format in which libfuse's fusermount3 (and fusermount) sends the /dev/fuse descriptor
// of a new mount. It sends it through the socket whose descriptor is in the environment variable
// _FUSE_COMMFD.
//
// The socket is a stream. A message is one zero byte and one descriptor. Send accepts no text.
// msg_controllen is CMSG_SPACE. There is no acknowledgement. Recv accepts any byte. If the mount failed,
// fusermount3 closes the stream without a message, and Recv returns io.EOF.
//
// See [Format] for who owns the descriptors, on success and on error.
var Fusermount Format = fixed{label{"fusermount", "unix"}, "\x00"}
