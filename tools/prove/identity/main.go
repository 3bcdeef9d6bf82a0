//go:build linux

// Package identity shows that the backends are the same to the byte, and that
// scm is what it is modelled on but for the lines of docs/departures.md.
//
// It runs in the repository's root. docs/identity.md says what the proof is made of, and
// what it does not show. A tool that is missing is named, and an
// error where CI=true.
package identity

import "os"

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
