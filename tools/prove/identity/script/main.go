//go:build linux

// Command script makes calls to package scm. It marks the beginning and the end of each call for the recorder. It is built once
// for each backend, and the recordings of all builds must be the same.
//
//	script SEED CALLS   reasonable and hostile calls, derived from a seed
//	script sizes        the calls of every size that docs/identity.md lists
//
// After each call it prints the results and all open descriptors. It creates its files in the
// current folder, which must be empty.
//
//	walker.go      the files and sockets, the rounds of calls, and what is printed about a call
//	operations.go  random calls of the pair, of messages and of batches
//	conns.go       random calls of the methods of a Conn
//	sizes.go       the calls of every size
//
// The random calls do not come from package internal/difftest, which describes a sequence of backend
// calls in advance, as data that a fuzzer can produce and a test can shrink. This program calls package
// scm itself, and chooses each call according to the state after the earlier calls, such as which Conn is ready.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

func main() {
	// The recorder records one thread.
	runtime.LockOSThread()
	out := bufio.NewWriterSize(os.Stdout, 1<<16)
	switch len(os.Args) {
	case 2:
		w := newWalker(out)
		w.sizes()
	case 3:
		seed, err := strconv.ParseUint(os.Args[1], 10, 64)
		check(err)
		calls, err := strconv.Atoi(os.Args[2])
		check(err)
		w := newWalker(out)
		w.maxFDs()
		for round := uint64(0); w.calls < calls; round++ {
			w.round(seed, round)
			check(out.Flush())
		}
	default:
		fmt.Fprintln(os.Stderr, "usage: script SEED CALLS | script sizes")
		os.Exit(2)
	}
	check(out.Flush())
}

// check ends the program if a call that the program needs for itself has failed.
func check(err error) {
	if err != nil {
		_, file, line, _ := runtime.Caller(1)
		fmt.Fprintf(os.Stderr, "script: %s:%d: %v\n", file, line, err)
		os.Exit(1)
	}
}

// warmUp makes the runtime start its poller and allocate the memory that the calls will need, so that
// the runtime makes no system calls for this between marks.
func warmUp() {
	for range 2 {
		r, wr, err := os.Pipe() // starts the poller, and the goroutine for cleanups
		check(err)
		check(r.Close())
		check(wr.Close())
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
	_, _, _ = unix.RawSyscall(unix.SYS_GETPRIORITY, recorderMark, uintptr(n), 0)
}

// recorderMark has the value of recorder.Mark. A recorded program does not import package recorder.
const recorderMark = 0x5c3d
