package wire

// PythonOfMacOS is the format Python with the acknowledgement that it has on macOS.
var PythonOfMacOS Format = python{label{"python", "unix"}, true}
