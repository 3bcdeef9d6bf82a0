//go:build linux

// Package identity shows that the backends are the same to the byte, and that
// scm is what it is modelled on but for the lines of docs/departures.md.
//
// It runs in the repository's root. docs/identity.md says what the proof is made of, and
// what it does not show. A tool that is missing is named, and an
// error where CI=true.
package identity

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
)

// Prove makes the proof, or puts faults into one backend, each of which has to be found.
func Prove(mutants bool) error {
	p, err := newProof(".", os.Stdout)
	defer p.end()
	switch {
	case err != nil:
		return err
	case mutants:
		return p.mutants(allMutants())
	}
	return p.all(full)
}

// A proof is one run, of which all is printed to out.
type proof struct {
	root string // of the repository
	dir  string // of what is built
	out  io.Writer

	missing int // how many things this machine has no tool for
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

// sizes are how much is done.
type sizes struct {
	differential int      // calls of each backend, in one process; none if 0
	elsewhere    int      // the same on other architectures and libcs
	recorded     int      // calls of the script
	golden       []string // the architectures whose control buffers are compared; none stands for all
}

// full is what make identity does.
var full = sizes{differential: 1 << 20, elsewhere: 1 << 15, recorded: 12288}

// all does both claims.
func (p *proof) all(s sizes) error {
	b := p.originals()
	_, _ = fmt.Fprintln(p.out)
	a := p.backends(s)
	switch {
	case a != nil || b != nil:
		return errors.Join(a, b)
	case p.missing > 0 && os.Getenv("CI") == "true":
		return fmt.Errorf("%d not run, and CI=true", p.missing)
	}
	return nil
}

// commas writes a number as people do.
func commas(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
