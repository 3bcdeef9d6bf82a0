package wire

// QMP is the format of the QEMU monitor commands that take a descriptor, getfd and add-fd.
//
// The socket is a stream. The text is the command, a JSON object of at most 1 MiB. A message has one
// descriptor. msg_controllen is CMSG_SPACE. The format does not cover the greeting, the replies and the
// commands without a descriptor. The caller reads and writes these.
//
// Recv reads up to the last brace of the object and skips white space before it. It rejects a message that
// does not have exactly one descriptor.
//
// See [Format] for who owns the descriptors, on success and on error.
var QMP Format = object{label{"qmp", "unix"}, 1, false}
