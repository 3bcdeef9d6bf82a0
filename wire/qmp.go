package wire

// QMP is the format of getfd and add-fd, the QEMU monitor commands that take a descriptor. The payload is
// the command (the text, a JSON object of at most 1 MiB). The caller must read and write the greeting, the
// replies and all other commands.
//
// Recv skips white space before the object and reads up to its closing brace.
var QMP Format = object{label{"qmp", "unix"}, 1, false}
