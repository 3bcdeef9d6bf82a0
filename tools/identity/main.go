//go:build linux

// Command identity shows that the backends are the same to the byte, and that
// scm is what it is modelled on but for the lines of docs/departures.md.
//
//	go run ./tools/identity            the proof
//	go run ./tools/identity -mutants   that it can fail
//
// It runs in the repository's root. What the proof is made of, and what it does
// not show, is told in docs/identity.md. A tool that is missing is named, and an
// error where CI=true.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	mutants := flag.Bool("mutants", false, "put faults into one backend, each of which has to be found")
	flag.Parse()
	p, err := newProof(".", os.Stdout)
	if err == nil {
		defer p.end()
		if *mutants {
			err = p.mutants(allMutants)
		} else {
			err = p.all(full)
		}
	}
	if err != nil {
		p.end()
		fmt.Fprintln(os.Stderr, "identity:", err)
		os.Exit(1)
	}
}
