// Command vet is `go vet`, but it reads what the packages depend on from its source: nothing is compiled, which is most
// of the time that another system takes. Its module is the tools of `make lint`, in one version each.
package main

import (
	"golang.org/x/tools/go/analysis/multichecker"
	"golang.org/x/tools/go/analysis/suite/vet"
)

func main() { multichecker.Main(vet.Suite...) }
