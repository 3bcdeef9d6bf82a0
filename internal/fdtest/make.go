package fdtest

import (
	"os"
	"slices"
	"strings"
)

// WithoutMake returns the environment for a make that a test starts. It leaves out the flags of a make that started the
// test, and the variables of both Makefiles that choose what runs, except CI and SLOW. Make exports
// those that it is called with.
func WithoutMake() []string {
	variables := []string{"SETUP", "PEERS", "ARCH", "RUN", "AS_USER", "GO", "GOTEST", "JUNIT", "QUICK", "FULL", "KEEP", "TIME", "KERNEL"}
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return strings.HasPrefix(name, "MAKE") || name == "MFLAGS" || slices.Contains(variables, name)
	})
}
