package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/scenario"
)

// TAP writes the report as TAP 14 (https://testanything.org/tap-version-14-specification.html). Each case is a test
// point with its name. Expected failures have the directive TODO, and unsupported cases SKIP, so that neither fails the
// run. Errors that affect the run as a whole are a test point "run". Each other failure has its findings and its
// transcript in a block of YAML.
func (r *Report) TAP(w io.Writer) error {
	r = r.abbreviated()
	runErrors := r.runErrors("cut short: " + r.Cut)
	count := len(r.Cases)
	if len(runErrors) > 0 {
		count++
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "TAP version 14\n1..%d\n", count)
	for i, c := range r.Cases {
		ok, message := "not ok", shorten(summary(c), maxMessage)
		directive := ""
		switch c.Verdict {
		case scenario.Pass:
			ok = "ok"
		case scenario.Unsupported:
			ok, directive = "ok", " # SKIP "+message
		case scenario.Expected:
			directive = " # TODO " + message
		}
		fmt.Fprintf(&b, "%s %d - %s%s\n", ok, i+1, c.Name, directive)
		if ok == "not ok" && directive == "" {
			tapBlock(&b, message, append(junitBody(c), Trace(c)...))
		}
	}
	if len(runErrors) > 0 {
		fmt.Fprintf(&b, "not ok %d - run\n", count)
		tapBlock(&b, shorten(strings.Join(runErrors, "; "), maxMessage), runErrors)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// tapBlock writes a block of YAML below a test point.
func tapBlock(b *bytes.Buffer, message string, lines []string) {
	quoted, _ := json.Marshal(message) // cannot fail for a string; a string of JSON is one of YAML
	fmt.Fprintf(b, "  ---\n  message: %s\n", display.JSON(quoted))
	if len(lines) > 0 {
		fmt.Fprintln(b, "  output: |")
		for line := range strings.SplitSeq(safeLines(lines), "\n") {
			if line != "" { // Perl's TAP::Parser does not accept an empty line
				fmt.Fprintf(b, "    %s\n", line)
			}
		}
	}
	fmt.Fprintln(b, "  ...")
}
