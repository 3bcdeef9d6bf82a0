//go:build linux

package identity

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
)

// Prove runs the proof.
func Prove() error {
	p, err := newProof(".", os.Stdout)
	defer p.end()
	if err != nil {
		return err
	}
	return p.all(full)
}

// A proof is one run of Prove, which prints its tables to out.
type proof struct {
	root string // of the repository
	dir  string // for the programs that are built
	out  io.Writer

	missing int // comparisons that could not be made because this machine lacks a tool
}

func newProof(root string, out io.Writer) (*proof, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "identity")
	return &proof{root: root, dir: dir, out: out}, err
}

func (p *proof) end() {
	if p != nil {
		_ = os.RemoveAll(p.dir)
	}
}

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
func (p *proof) all(w workload) error {
	claimB := p.originals()
	p.printf("\n")
	claimA := p.backends(w)
	switch {
	case claimA != nil || claimB != nil:
		return errors.Join(claimA, claimB)
	case p.missing > 0 && os.Getenv("CI") == "true":
		return fmt.Errorf("%d not run, and CI=true", p.missing)
	}
	return nil
}

// commas formats n with a comma between thousands.
func commas(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
