//go:build linux

// Command prove verifies the claims of the documentation about the backends, on the targets of
// proof/target. Each subcommand is a package.
//
//	go run -C proof . identity                both backends make the same system calls, to the byte
//	go run -C proof . inside PUREGO CGO       the same inside an emulated machine, for two builds of identity/walk
//	go run -C proof . golden [GOARCH…]        both backends make the same control buffers with each libc
//	go run -C proof . foreign [GOARCH…]       the tests pass on other architectures and libcs
//	go run -C proof . systemd [VERSION…]      packages wire and handover work with real versions of systemd
//	go run -C proof . kernels [GOARCH…]       the suite gives the expected results on real kernels
//
// With -run REGEXP, systemd runs only the checks whose names match. With -quick, it runs only those that CI runs.
//
// With -kernel "NAME…", kernels boots only these kernels. With -quick, it leaves out the peers. With -keep, it boots
// none, and writes proof/kernels/testdata/results.md from the results of the last run.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/recorder"
	"github.com/scm-rights/scm/proof/foreign"
	"github.com/scm-rights/scm/proof/golden"
	"github.com/scm-rights/scm/proof/identity"
	"github.com/scm-rights/scm/proof/kernels"
	"github.com/scm-rights/scm/proof/machine"
	"github.com/scm-rights/scm/proof/must"
	"github.com/scm-rights/scm/proof/systemd"
	"github.com/scm-rights/scm/proof/target"
)

func main() {
	recorder.Main()
	must.Main("prove", func() { must.OK(target.EnterRoot()) })
	flags := flag.NewFlagSet("prove", flag.ExitOnError)
	names := flags.String("kernel", "", "kernels: boot only the kernels with these `names`")
	quick := flags.Bool("quick", false, "kernels: leave out the peers; systemd: run only the checks that CI runs")
	var checks *regexp.Regexp
	flags.Func("run", "systemd: run only the checks whose names match the `regexp`", func(text string) (err error) {
		checks, err = regexp.Compile(text)
		return err
	})
	keep := flags.Bool("keep", false, "kernels: write proof/kernels/testdata/results.md from the results of the last run")
	if len(os.Args) < 2 {
		usage()
	}
	verb := os.Args[1]
	if verb == "inside" { // it has flags of its own
		must.Main(verb, func() { identity.Inside(os.Args[2:]) })
		return
	}
	_ = flags.Parse(os.Args[2:]) // exits if there is an error
	go stopOnSignal()
	must.Main(verb, func() {
		lock(verb)
		switch verb {
		case "identity":
			identity.Prove()
		case "golden":
			golden.Prove(flags.Args())
		case "foreign":
			foreign.Prove(flags.Args())
		case "systemd":
			systemd.Prove(systemd.Options{Versions: flags.Args(), Checks: checks, Quick: *quick})
		case "kernels":
			if *keep {
				kernels.Keep()
			} else {
				kernels.Prove(kernels.Options{Kernels: strings.Fields(*names), Archs: flags.Args(), Quick: *quick})
			}
		default:
			usage()
		}
	})
}

// stopOnSignal ends the program when it receives a signal, without leaving emulators or their files. A second signal
// ends it at once.
func stopOnSignal() {
	signaled, restore := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	<-signaled.Done()
	restore()
	fmt.Fprintln(os.Stderr, "prove: stopped by a signal")
	machine.Stop()
	os.Exit(1)
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: prove identity | inside PUREGO CGO | golden [GOARCH…] | foreign [GOARCH…] | systemd [-quick] [-run REGEXP] [VERSION…] | kernels [-quick] [-keep] [-kernel \"NAME…\"] [GOARCH…]")
	os.Exit(2)
}
