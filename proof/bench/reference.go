//go:build linux && cgo

package main

/*
#cgo CFLAGS: -D_GNU_SOURCE
#include "reference.h"
*/
import "C"

import (
	"os"
	"syscall"
)

// echoes is the environment variable that makes this program, or its tests, the other end of a load that echoes.
const echoes = "SCM_BENCH_ECHOES"

func echoIfAsked() {
	if os.Getenv(echoes) != "" {
		C.reference_echo(3)
		os.Exit(0)
	}
}

// reference runs the loop in C with which everything is compared. It makes one cgo call for all messages.
func reference(s sockets, l load, n int) error {
	c := C.struct_load{count: C.int(l.count), payload: C.int(l.payload)}
	if errno := C.reference_loop(C.int(s.a), C.int(s.b), C.int(s.cargo), c, C.long(n)); errno != 0 {
		return syscall.Errno(errno)
	}
	return nil
}
