//go:build linux

// Command prove shows that what the documents claim is so, on every machine of internal/target.
//
//	go run ./tools/prove identity [-mutants]     both backends say the same to the kernel, to the byte
//	go run ./tools/prove golden [-w] [GOARCH…]   control buffers, against the macros of each libc
//	go run ./tools/prove foreign [GOARCH…]       the tests and the matrix on other machines
//
// With -mutants, faults are put into one backend, each of which has to be found. With -w what C
// says is stored.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/scm-rights/scm/internal/recorder"
	"github.com/scm-rights/scm/tools/prove/foreign"
	"github.com/scm-rights/scm/tools/prove/golden"
	"github.com/scm-rights/scm/tools/prove/identity"
)

func main() {
	recorder.Main()
	flags := flag.NewFlagSet("prove", flag.ExitOnError)
	mutants := flags.Bool("mutants", false, "identity: put faults into one backend, each of which has to be found")
	write := flags.Bool("w", false, "golden: store what C says")
	if len(os.Args) < 2 {
		usage()
	}
	verb := os.Args[1]
	_ = flags.Parse(os.Args[2:]) // it exits
	var err error
	switch verb {
	case "identity":
		err = identity.Prove(*mutants)
	case "golden":
		err = golden.Prove(*write, flags.Args())
	case "foreign":
		err = foreign.Prove(flags.Args())
	default:
		usage()
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", verb, err)
		os.Exit(1)
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: prove identity [-mutants] | golden [-w] [GOARCH…] | foreign [GOARCH…]")
	os.Exit(2)
}
