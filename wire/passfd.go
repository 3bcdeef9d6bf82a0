package wire

// Passfd is the format of FdPassingExt in the Rust crate passfd. The payload is four zero bytes (a C int).
var Passfd Format = fixed{label{"passfd", "unix"}, "\x00\x00\x00\x00", false}
