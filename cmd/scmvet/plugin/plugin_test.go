package plugin

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/golangci/plugin-module-register/register"
	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/analysistest"

	"github.com/scm-rights/scm/cmd/scmvet/checks"
)

// TestPlugin gets the analyzers as golangci-lint does. They must have the findings of scmvet, without the names at the
// end.
func TestPlugin(t *testing.T) {
	build, err := register.GetPlugin("scmvet")
	if err != nil {
		t.Fatal(err)
	}
	p, err := build(nil)
	if err != nil {
		t.Fatal(err)
	}
	if mode := p.GetLoadMode(); mode != register.LoadModeTypesInfo {
		t.Errorf("got load mode %q, want %q", mode, register.LoadModeTypesInfo)
	}
	list, err := p.BuildAnalyzers()
	if err != nil {
		t.Fatal(err)
	}
	if err := analysis.Validate(list); err != nil {
		t.Error(err)
	}
	if len(list) != len(checks.Analyzers) {
		t.Fatalf("got %d analyzers, want %d", len(list), len(checks.Analyzers))
	}
	data, err := filepath.Abs("../checks/testdata")
	if err != nil {
		t.Fatal(err)
	}
	all := &analysis.Analyzer{
		Name:     "all",
		Doc:      "run the analyzers, so that the packages are loaded only once",
		Requires: list[0].Requires,
		Run: func(p *analysis.Pass) (any, error) {
			for i, a := range list {
				if a.Name != checks.Analyzers[i].Name {
					t.Errorf("got analyzer %s, want %s", a.Name, checks.Analyzers[i].Name)
				}
				one := *p
				one.Analyzer = a
				one.Report = func(d analysis.Diagnostic) {
					if strings.HasSuffix(d.Message, ")") {
						t.Errorf("%q repeats the name of the check", d.Message)
					}
					p.Report(d)
				}
				if _, err := a.Run(&one); err != nil {
					return nil, err
				}
			}
			return nil, nil
		},
	}
	analysistest.Run(t, data, all, "literals", "wrapped")
}
