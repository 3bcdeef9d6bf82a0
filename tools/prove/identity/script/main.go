//go:build linux

// Command script makes calls of package scm from a seed, sensible ones and
// hostile ones, each between two marks of the recorder. Built once per backend,
// its records have to be the same.
//
//	script SEED CALLS
//	script sizes
//
// With sizes it makes a call of each size in place of those from a seed.
//
// After each call it prints its result, and every descriptor that is open,
// by number. It works in the current folder, which is empty.
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
	// What is recorded is one thread's.
	runtime.LockOSThread()
	out := bufio.NewWriterSize(os.Stdout, 1<<16)
	switch len(os.Args) {
	case 2:
		w := newWorld(out)
		w.sizes()
	case 3:
		seed, err := strconv.ParseUint(os.Args[1], 10, 64)
		check(err)
		calls, err := strconv.Atoi(os.Args[2])
		check(err)
		w := newWorld(out)
		w.most()
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

// check ends the program: what it needs itself has failed.
func check(err error) {
	if err != nil {
		_, file, line, _ := runtime.Caller(1)
		fmt.Fprintf(os.Stderr, "script: %s:%d: %v\n", file, line, err)
		os.Exit(1)
	}
}

// settle does beforehand what the runtime does the first time, and has it take
// the memory that the calls will need, so that none of that is between marks.
func settle() {
	for range 2 {
		r, wr, err := os.Pipe() // starts the poller, and the goroutine for cleanups
		check(err)
		check(r.Close())
		check(wr.Close())
		// Pages, and a record of each of them.
		memory := make([][]byte, 12<<10)
		for i := range memory {
			memory[i] = make([]byte, 8<<10)
		}
		runtime.GC()
		clear(memory)
		runtime.GC()
	}
}

// mark is the recorder's: section n begins, or ends if n is 0.
func mark(n int) {
	_, _, _ = unix.RawSyscall(unix.SYS_GETPRIORITY, recorderMark, uintptr(n), 0)
}

// recorderMark is recorder.Mark, which a program for users of the recorder writes
// down itself.
const recorderMark = 0x5c3d
