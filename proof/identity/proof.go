//go:build linux

package identity

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/scm-rights/scm/proof/must"
)

// Prove runs the proof.
func Prove() {
	p := newProof(".", os.Stdout)
	defer p.end()
	p.all(full)
}

// A proof is one run of Prove, which prints its tables to out.
type proof struct {
	root string // of the repository
	dir  string // for the programs that are built
	out  io.Writer

	missing int // comparisons that could not be made because this machine lacks a tool
}

func newProof(root string, out io.Writer) *proof {
	return &proof{root: must.Get(filepath.Abs(root)), dir: must.Get(os.MkdirTemp("", "identity")), out: out}
}

func (p *proof) end() { _ = os.RemoveAll(p.dir) }

func (p *proof) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(p.out, format, args...)
}

// A workload determines how many calls are compared.
type workload struct {
	differential      int // calls of each backend, in one process; none if 0
	elsewhere         int // the same on other architectures and libcs
	recorded          int // calls of the walk
	guest             int // the same in each emulated machine; none is booted if 0
	guestDifferential int
	golden            []string // the architectures whose control buffers are compared; all if empty
}

// full is the workload of make proof-identity.
var full = workload{differential: 1 << 20, elsewhere: 1 << 15, recorded: 20480, guest: 2048, guestDifferential: 4096}

// all tests both claims of docs/trust.md.
func (p *proof) all(w workload) {
	claimB := must.Try(p.originals)
	p.printf("\n")
	claimA := must.Try(func() { p.backends(w) })
	must.OK(errors.Join(claimA, claimB))
	p.isWhole()
}

// isWhole fails if a comparison could not be made, and CI=true.
func (p *proof) isWhole() {
	if p.missing > 0 && os.Getenv("CI") == "true" {
		must.Failf("%d not run, and CI=true", p.missing)
	}
}

// commas formats n with a comma between thousands.
func commas(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
