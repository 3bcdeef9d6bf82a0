package peers

import (
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

// BuildPartners returns the peers with these names, for a test. It takes them from the list that $SCM_PARTNERS names,
// and builds those that are not in it from the repository at root.
func BuildPartners(ctx context.Context, root string, names []string, log io.Writer) []Built {
	list, err := ReadPartners()
	if err != nil {
		for _, name := range names {
			list = append(list, Built{Name: name, Why: err.Error(), Broken: true})
		}
	}
	at := func(name string) int { return slices.IndexFunc(list, func(b Built) bool { return b.Name == name }) }
	missing := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return at(name) >= 0 })
	if len(missing) > 0 {
		list = append(list, Build(ctx, root, filepath.Join(root, "build", "peers"), missing, log)...)
	}
	var partners []Built
	for _, name := range names {
		partners = append(partners, list[at(name)])
	}
	return partners
}
