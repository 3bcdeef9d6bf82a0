package sys

// File is what Look learned of an open file.
type File struct {
	Kind                   string // as scm.Kind
	Family, Type, Protocol int    // of a socket
	Access                 string // "read-only", "write-only", "read-write", "path" or "none"
	Seals                  int    // of a file that can have some
}
