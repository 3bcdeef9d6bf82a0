package wire

// Fusermount is the format in which libfuse's fusermount3 (and fusermount) sends the /dev/fuse descriptor
// of a new mount. It uses the socket whose descriptor is in the environment variable _FUSE_COMMFD. The
// payload is one zero byte. If the mount failed, Recv returns io.EOF.
var Fusermount Format = fixed{label{"fusermount", "unix"}, "\x00", false}
