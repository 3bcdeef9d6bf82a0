// Command vet runs the analyzers of `go vet`. It type-checks dependencies from source instead of compiling them, which
// saves most of the time when the target is another operating system. Its go.mod pins the versions of the tools that
// `make lint` uses.
package main

import (
	"golang.org/x/tools/go/analysis/multichecker"
	"golang.org/x/tools/go/analysis/suite/vet"
)

func main() { multichecker.Main(vet.Suite...) }
