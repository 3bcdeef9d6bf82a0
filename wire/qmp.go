package wire

// QMP is the format of getfd and add-fd, the QEMU monitor commands that take a descriptor.
//
// The format uses a stream socket. A message consists of the command (the text, a JSON object of at most 1
// MiB) and one descriptor. Send sets msg_controllen to CMSG_SPACE. The format does not cover the greeting,
// the replies and the commands without a descriptor. The caller must read and write those itself.
//
// Recv skips white space before the object and reads up to its closing brace. It rejects a message that
// does not have exactly one descriptor.
//
// See [Format] for who owns the descriptors on success and on error.
var QMP Format = object{label{"qmp", "unix"}, 1, false}
