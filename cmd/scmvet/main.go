// Command scmvet reports mistakes in Go programs that pass descriptors over Unix sockets.
//
//	scmvet [-flag] PACKAGE…
//	go vet -vettool=$(which scmvet) PACKAGE…
//
// To accept a finding, write the reason on the same line or on the line above:
//
//	//scmvet:ignore CHECK REASON
package main

import (
	"golang.org/x/tools/go/analysis/multichecker"

	"github.com/scm-rights/scm/cmd/scmvet/checks"
)

func main() { multichecker.Main(checks.Analyzers...) }
