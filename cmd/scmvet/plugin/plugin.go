// Package plugin makes the analyzers of scmvet a plugin of golangci-lint, with the name scmvet. See docs/vet.md.
package plugin

import (
	"strings"

	"github.com/golangci/plugin-module-register/register"
	"golang.org/x/tools/go/analysis"

	"github.com/scm-rights/scm/cmd/scmvet/checks"
)

func init() {
	register.Plugin("scmvet", newPlugin)
}

type plugin struct{}

func newPlugin(any) (register.LinterPlugin, error) { return plugin{}, nil }

func (plugin) GetLoadMode() string { return register.LoadModeTypesInfo }

// BuildAnalyzers returns the analyzers. golangci-lint writes the name of the check before each message, so the copy of
// the name at the end is removed.
func (plugin) BuildAnalyzers() (list []*analysis.Analyzer, err error) {
	for _, a := range checks.Analyzers {
		short := *a
		short.Run = func(p *analysis.Pass) (any, error) {
			one := *p
			one.Report = func(d analysis.Diagnostic) {
				d.Message = strings.TrimSuffix(d.Message, " ("+a.Name+")")
				p.Report(d)
			}
			return a.Run(&one)
		}
		list = append(list, &short)
	}
	return list, nil
}
