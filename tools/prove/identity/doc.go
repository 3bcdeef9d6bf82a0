// Package identity proves two claims, which docs/identity.md explains. It runs in the
// repository's root, on Linux.
//
// Claim (a): the two backends are identical to the byte. One program (script) makes the same
// library calls with each backend, and its system calls are recorded and compared.
//
//	targets.go      the architectures and libcs on which the backends are compared
//	script/         the program
//	record.go       a recording of the program, and how two recordings differ
//	backends.go     the comparison, together with internal/difftest and tools/prove/golden
//	mutants.go      the test of the proof: faults that the comparison must find
//
// Claim (b): scm makes the same system calls as the originals that it is modelled on, except for
// the differences that docs/departures.md lists. The peers of the interop suite perform the same
// scenes with each original and with scm.
//
//	scenes.go       the originals, and the scenes
//	stage.go        a peer that performs a scene under the recorder
//	departures.go   the rows of docs/departures.md
//	originals.go    the comparison
//	sendfile/, vmm/ peers that only this proof needs
//	mycat.go        examples/mycat in C and in Go, compared by scm diff
//
// A comparison for which the machine lacks a tool is listed as not run. With CI=true that is an
// error.
package identity
