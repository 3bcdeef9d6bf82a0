package wire

// PythonOfMacOS is Python as it is on macOS.
var PythonOfMacOS Format = python{label{"python", "unix"}, true}
