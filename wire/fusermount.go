package wire

// Fusermount is the format in which libfuse's fusermount3 (and fusermount) sends the /dev/fuse descriptor
// of a new mount. It uses the socket whose descriptor is in the environment variable _FUSE_COMMFD.
//
// The format uses a stream socket. A message consists of one zero byte and one descriptor. The text to send
// must be empty. Send sets msg_controllen to CMSG_SPACE. The receiver does not acknowledge messages. Recv
// accepts any byte, not only zero. If the mount failed, fusermount3 closes the stream without a message,
// and Recv returns io.EOF.
//
// See [Format] for who owns the descriptors on success and on error.
var Fusermount Format = fixed{label{"fusermount", "unix"}, "\x00", false}
