package peers

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// PartnersVariable is an environment variable with the name of a list of the partners. make test builds ours once, and
// gives the tests a list that has also those of the user's list.
const PartnersVariable = "SCM_PARTNERS"

// Partners are the peers in C and Rust that run the catalogue with package scm in its tests.
var (
	InC      = []string{"csrc", "book", "qa"}
	InRust   = []string{"libc", "nix", "rustix", "sendfd", "scmsocket"}
	Partners = slices.Concat(InC, InRust)
)

// ReadPartners returns the peers in the list that $SCM_PARTNERS names, or none if it is not set. See ReadList.
func ReadPartners(reserved ...string) ([]Built, error) {
	file := os.Getenv(PartnersVariable)
	if file == "" {
		return nil, nil
	}
	list, err := ReadList(file, reserved...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", PartnersVariable, err)
	}
	return list, nil
}

// BuildPartner returns the peer with this name, for a test. It takes it from the list that $SCM_PARTNERS names, or
// builds it from the repository at root. If the peer lacks something, Lacks names it.
func BuildPartner(ctx context.Context, root, name string, log io.Writer) Built {
	list, err := ReadPartners()
	if err != nil {
		return Built{Name: name, Why: err.Error(), Broken: true}
	}
	i := slices.IndexFunc(list, func(b Built) bool { return b.Name == name })
	if i < 0 {
		list, i = Build(ctx, root, filepath.Join(root, "build", "peers"), []string{name}, log), 0
	}
	list[i].Lacks = cmp.Or(list[i].Lacks, name)
	return list[i]
}
