// Command scmvet reports mistakes in Go programs that pass descriptors over Unix sockets. See docs/vet.md.
package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/tools/go/analysis/multichecker"

	"github.com/scm-rights/scm/cmd/scmvet/checks"
)

func main() {
	rejectTags(os.Args)
	multichecker.Main(checks.Analyzers...)
}

// rejectTags exits if the arguments set build tags for packages, because multichecker would ignore them. When go vet
// runs the command, it has already applied the tags, and the last argument is a file.
func rejectTags(args []string) {
	if strings.HasSuffix(args[len(args)-1], ".cfg") {
		return
	}
	for i, arg := range args {
		name, tags, hasValue := strings.Cut(arg, "=")
		if name != "-tags" && name != "--tags" {
			continue
		}
		if !hasValue && i+1 < len(args) {
			tags = args[i+1]
		}
		fmt.Fprintf(os.Stderr, "scmvet: -tags is not supported: set GOFLAGS=-tags=%s, or run go vet -tags=%[1]s -vettool=PATH/scmvet\n", tags)
		os.Exit(2)
	}
}
