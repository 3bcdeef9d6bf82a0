//go:build linux

// Command walk runs the sequences of package proof/difftest with one backend. It marks the beginning and the end of
// each call for the recorder. It is built once for each backend, and the recordings of all builds must be the same.
//
//	walk SEED CALLS   reasonable and hostile calls, derived from a seed
//	walk sizes        the calls of every size that docs/trust.md lists
//
// It prints the outcome of each step, and creates its files in the current folder, which must be empty.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/proof/difftest"
	"github.com/scm-rights/scm/proof/must"
)

func main() {
	// The recorder records one thread.
	runtime.LockOSThread()
	must.Main("walk", run)
}

func run() {
	warmUp()
	switch len(os.Args) {
	case 2:
		difftest.Sizes(os.Stdout, backend, mark)
	case 3:
		seed := must.Get(strconv.ParseUint(os.Args[1], 10, 64))
		difftest.Walk(os.Stdout, backend, mark, seed, must.Get(strconv.Atoi(os.Args[2])))
	default:
		fmt.Fprintln(os.Stderr, "usage: walk SEED CALLS | walk sizes")
		os.Exit(2)
	}
}

// warmUp makes the runtime start its poller and allocate the memory that the calls will need, so that
// the runtime makes no system calls for this between marks.
func warmUp() {
	for range 2 {
		r, wr, err := os.Pipe() // starts the poller, and the goroutine for cleanups
		must.OK(err)
		must.OK(r.Close())
		must.OK(wr.Close())
		// Make the runtime allocate pages, and the data structures in which it keeps track of them.
		memory := make([][]byte, 12<<10)
		for i := range memory {
			memory[i] = make([]byte, 8<<10)
		}
		runtime.GC()
		clear(memory)
		runtime.GC()
	}
}

// mark begins section n of the recording, or ends the section if n is 0.
func mark(n int) {
	if n%16 == 1 {
		runtime.GC() // so that the runtime asks for no more memory between the marks
	}
	if n > 0 {
		runtime.Gosched() // here, so that the time slice does not end between the marks
	}
	_, _, _ = unix.RawSyscall(unix.SYS_GETPRIORITY, recorderMark, uintptr(n), 0)
}

// recorderMark has the value of recorder.Mark. A recorded program does not import package recorder.
const recorderMark = 0x5c3d
