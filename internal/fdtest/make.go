package fdtest

import (
	"os"
	"slices"
	"strings"
)

// MakeVariables are the variables of both Makefiles and of tools/runtests that choose what runs, except CI. make
// exports those that it is called with.
var MakeVariables = []string{
	"SETUP", "PEERS", "ARCH", "RUN", "AS_USER", "RESULTS", "GO",
	"QUICK", "FULL", "KEEP", "TIME", "KERNEL",
}

// WithoutMake returns the environment for a make that a test starts. It leaves out the flags and variables of a make
// that started the test.
func WithoutMake() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return strings.HasPrefix(name, "MAKE") || name == "MFLAGS" || slices.Contains(MakeVariables, name)
	})
}
