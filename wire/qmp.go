package wire

// QMP is a command to QEMU's monitor that takes a descriptor, getfd or add-fd.
//
// Stream. The text is the command, one JSON object of at most 1 MiB, and one descriptor.
// Control of CMSG_SPACE. The receiver takes an object to its last brace, without white space
// around it, and refuses any number of descriptors but one. The greeting, the replies and
// the commands without a descriptor are the caller's to read and to write.
//
// [Format] says who owns descriptors, also on error.
var QMP Format = object{label{"qmp", "unix"}, 1, false}
