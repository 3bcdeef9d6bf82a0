package checks_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/analysistest"

	"github.com/scm-rights/scm/cmd/scmvet/checks"
)

// TestAnalyzers runs each analyzer on the package of its name, and all of them on the other packages. That loads the
// packages only once.
func TestAnalyzers(t *testing.T) {
	packages := []string{"forwarded", "literals", "netlink", "notes", "ownparser", "tests", "unrelated", "wrapped", "wrappers"}
	shared := len(packages)
	for _, a := range checks.Analyzers {
		packages = append(packages, a.Name)
	}
	all := &analysis.Analyzer{
		Name:     "all",
		Doc:      "run the analyzers",
		Requires: checks.Analyzers[0].Requires,
		Run: func(p *analysis.Pass) (any, error) {
			for _, a := range checks.Analyzers {
				if p.Pkg.Name() != a.Name && !slices.Contains(packages[:shared], p.Pkg.Name()) {
					continue
				}
				one := *p
				one.Analyzer = a
				if _, err := a.Run(&one); err != nil {
					return nil, err
				}
			}
			return nil, nil
		},
	}
	analysistest.RunWithSuggestedFixes(t, analysistest.TestData(), all, packages...)
}

// TestSections looks for the sections of docs/pitfalls.md that the analyzers refer to.
func TestSections(t *testing.T) {
	page, err := os.ReadFile("../../../docs/pitfalls.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]bool{}
	for _, h := range regexp.MustCompile(`(?m)^## (.+)$`).FindAllStringSubmatch(string(page), -1) {
		dropped := regexp.MustCompile(`[^\w -]`).ReplaceAllString(strings.ToLower(h[1]), "")
		sections[strings.ReplaceAll(dropped, " ", "-")] = true
	}
	for _, a := range checks.Analyzers {
		if _, section, _ := strings.Cut(a.URL, "/docs/pitfalls.md#"); !sections[section] {
			t.Errorf("%s: docs/pitfalls.md has no section #%s", a.Name, section)
		}
	}
}
