package suitecmd

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/report"
	"github.com/spf13/cobra"
)

// replayPrefix returns the command that runs a case again, without the name of the case. It returns ""
// if none of the reports is in JSON.
func (s *selection) replayPrefix(reports []string, strictKernel bool) string {
	i := slices.IndexFunc(reports, func(file string) bool {
		return filepath.Ext(file) == ".json" || filepath.Ext(file) == report.StreamExt
	})
	if i < 0 {
		return ""
	}
	command := []string{"scm", "interop", "replay"}
	if s.catalogue != "" {
		command = append(command, "--catalogue", s.catalogue)
	}
	for _, expect := range s.expect {
		command = append(command, "--expect", expect)
	}
	if strictKernel {
		command = append(command, "--strict-kernel")
	}
	file := reports[i]
	if strings.HasPrefix(file, "-") {
		file = "./" + file // or it would be a flag
	}
	return shellQuote(append(command, file)) + "#"
}

// runPrefix returns the command that runs a case again without a report, without the name of the case.
func runPrefix(cmd *cobra.Command) string {
	command := []string{"scm", "interop", "run"}
	for _, name := range []string{"peers", "with", "peer", "builtin", "catalogue", "expect", "strict-kernel", "timeout"} {
		f := cmd.Flags().Lookup(name)
		values := []string{f.Value.String()}
		if list, ok := f.Value.(interface{ GetSlice() []string }); ok {
			values = list.GetSlice()
		}
		for _, value := range values {
			if f.Changed {
				command = append(command, "--"+name+"="+value)
			}
		}
	}
	return shellQuote(append(command, "--trace", "--run")) + " "
}

// shellQuote quotes a command for a shell.
func shellQuote(command []string) string {
	var words []string
	for _, w := range command {
		if strings.ContainsAny(w, " \t\n'\"\\$&|;<>()*?[]#~`!{}") || w == "" {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}
