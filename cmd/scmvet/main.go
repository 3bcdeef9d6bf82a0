// Command scmvet reports mistakes in Go programs that pass descriptors over Unix sockets. See docs/vet.md.
package main

import (
	"golang.org/x/tools/go/analysis/multichecker"

	"github.com/scm-rights/scm/cmd/scmvet/checks"
)

func main() { multichecker.Main(checks.Analyzers...) }
