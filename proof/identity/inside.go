//go:build linux

package identity

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/scm-rights/scm/proof/must"
)

// A Result is the result of Inside. It becomes a row of the table of make proof-identity.
type Result struct {
	Recorded     int    `json:"recorded"`     // system calls of each backend
	Differential int    `json:"differential"` // calls of each backend
	Differ       int    `json:"differ"`       // bytes that differ
	Field        string `json:"field"`        // the field of the first difference
	First        string `json:"first"`        // the first difference, or the failure that ended the comparison
}

// Inside compares the two backends inside an emulated machine, which has neither the sources nor a compiler. Its
// arguments are two builds of the program in the folder walk, with the purego backend and with the cgo backend.
//
//	prove inside -o FILE [-calls N] [-difftest BINARY -differential N] PUREGO CGO
//
// Inside prints the differences. It writes a Result to the file, even if it fails.
func Inside(args []string) {
	flags := flag.NewFlagSet("inside", flag.ExitOnError)
	calls := flags.Int("calls", full.recorded, "the number of calls of the walk")
	difftest := flags.String("difftest", "", "the test binary of proof/difftest, built with cgo")
	differential := flags.Int("differential", full.elsewhere, "the number of calls of proof/difftest")
	out := flags.String("o", "", "the file for the result")
	_ = flags.Parse(args) // exits if there is an error
	if flags.NArg() != 2 {
		must.Failf("usage: prove inside -o FILE [-calls N] [-difftest BINARY -differential N] PUREGO CGO")
	}
	// The paths must be absolute, because the programs run in a folder of their own.
	purego, cgo := must.Get(filepath.Abs(flags.Arg(0))), must.Get(filepath.Abs(flags.Arg(1)))
	var r Result
	err := must.Try(func() {
		must.OK(r.compare(walk{seed: 1, calls: *calls, slow: true}, purego, cgo))
		if *difftest != "" {
			r.Differential = runDifftest(*difftest, "", *differential)
		}
	})
	if err != nil && r.First == "" {
		r.First = err.Error()
	}
	if err == nil && r.Differ > 0 {
		err = errors.New("the backends are not identical")
	}
	fmt.Printf("%s: %s recorded calls, %s differential calls, %s bytes differ\n",
		runtime.GOARCH, commas(r.Recorded), commas(r.Differential), commas(r.Differ))
	text, marshal := json.Marshal(r)
	must.OK(errors.Join(err, marshal, os.WriteFile(*out, text, 0o644)))
}

// compare records both programs and compares the recordings. If the program with cgo fails, compare uses
// its calls up to the failure, because they contain the difference that made the program fail.
func (r *Result) compare(w walk, purego, cgo string) error {
	a, err := w.record(purego)
	if err != nil {
		return fmt.Errorf("%s: %w", purego, err)
	}
	b, failed := w.record(cgo)
	if b == nil {
		return fmt.Errorf("%s: %w", cgo, failed)
	}
	found := a.differences(b)
	if failed == nil {
		found, failed = a.against(b, purego, cgo)
	}
	r.Recorded = b.count()
	const mostPrinted = 10
	for i, d := range found {
		if i == 0 {
			r.Field, r.First = d.field, d.text
		}
		if i < mostPrinted {
			fmt.Println(d.text)
		}
		r.Differ += d.bytes
	}
	if failed != nil {
		return fmt.Errorf("%s: %w", cgo, failed)
	}
	return nil
}
