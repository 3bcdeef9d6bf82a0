package fdtest

import (
	"os"
	"slices"
	"strings"
)

// MakeVariables are the variables of the Makefile that a caller can set, except CI. make exports them.
var MakeVariables = []string{
	"SETUP", "PEERS", "PAIRS", "ARCH", "SYSTEMD", "CHECK", "KERNEL", "AS_USER", "NEWEST", "SCM_SOAK", "RESULTS",
	"PEER", "DESTDIR", "PREFIX", "MANDIR", "GO", "CLANG_FORMAT", "CLANG_TIDY",
}

// WithoutMake returns the environment for a make that a test starts. It leaves out the flags and variables of a make
// that started the test.
func WithoutMake() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return strings.HasPrefix(name, "MAKE") || strings.HasPrefix(name, "SCM_BEAT") || name == "MFLAGS" || slices.Contains(MakeVariables, name)
	})
}
