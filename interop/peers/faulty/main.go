//go:build linux

// Command faulty is a peer for testing the runner. With --fault NAME, it makes the named
// mistake. Without --fault, it conforms to the contract.
package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/scm-rights/scm/interop/peers/faulty/fault"
	"github.com/scm-rights/scm/interop/peers/go/peer"
)

// noread is not in package fault because a peer that does not answer hello never takes part
// in a case.
const noread = "noread"

func main() {
	all := fault.All()
	all[noread] = fault.Fault{What: "never reads a command"}
	names := slices.Sorted(maps.Keys(all))
	name := flag.String("fault", "", "one of "+strings.Join(names, ", "))
	strict := flag.Bool("strict", false, "conform, as a library that rejects everything that the contract lets it reject")
	closes := flag.String("closes", "", "like --strict, but declare closes=yes; when a call fails, close the socket now, later or never")
	refuse := flag.String("refuse", "", "conform, but answer unsupported to calls that need one of these words of can=, such as flags,iov")
	leaderless := flag.Bool("no-leader", false, "end the first thread, but not the process")
	mute := flag.Bool("no-stderr", false, "close standard error, so that a received descriptor can be 2")
	flag.Usage = func() {
		flag.PrintDefaults()
		for _, name := range names {
			fmt.Fprintf(os.Stderr, "%-12s %s\n", name, all[name].What)
		}
	}
	flag.Parse()
	chosen, ok := all[*name]
	_, known := fault.Closers[*closes]
	conforms := *strict || *closes != ""
	if *name != "" && (!ok || conforms) || *closes != "" && (!known || *strict) || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if *name == noread {
		time.Sleep(fault.Forever)
		return
	}
	if *mute {
		_ = syscall.Close(2) // it may be closed already
	}
	signal.Ignore(syscall.SIGPIPE)
	lib := fault.Library("faulty", chosen) // with or without a fault, it gives the same answer to hello
	if *strict {
		lib = fault.Strict()
	}
	if *closes != "" {
		lib = fault.Closing(*closes)
	}
	if *refuse != "" {
		lib = fault.Refusing(strings.Split(*refuse, ","))
	}
	serve := func() {
		if err := peer.Serve(lib, os.Stdin, fault.Answers(os.Stdout, chosen)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if *leaderless {
		runtime.LockOSThread()
		if syscall.Gettid() != syscall.Getpid() { // another thread runs the main goroutine: start again
			fmt.Fprintln(os.Stderr, syscall.Exec("/proc/self/exe", os.Args, os.Environ()))
			os.Exit(1)
		}
		go serve()
		_, _, _ = syscall.Syscall(syscall.SYS_EXIT, 0, 0, 0) // of this thread
	}
	serve()
}
