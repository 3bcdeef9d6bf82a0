// Package identity verifies two claims, which docs/trust.md explains. It must run in the root
// of the repository, on Linux.
//
// Claim (a): the two backends make the same system calls, to the byte. The program in the folder
// walk makes the same calls, those of package proof/difftest, with each backend. This package records
// and compares its system calls.
//
//	targets.go      the architectures and libcs on which the backends are compared
//	walk/           the program
//	record.go       a recording of the program, and how two recordings differ
//	guests.go       the same on kernels of other architectures, in emulated machines
//	inside.go       the part that runs inside an emulated machine
//	backends.go     the comparison, together with proof/difftest and proof/golden
//	mutants_test.go the test of the proof: faults that the comparison must find
//
// Claim (b): scm makes the same system calls as the systems that it is modelled on, called
// originals, except for the differences listed in docs/trust.md. The peers of the interop
// suite perform the same scenes with each original and with scm.
//
//	scenes.go       the originals, and the scenes
//	stage.go        a peer that performs a scene under the recorder
//	departures.go   the rows of docs/trust.md
//	originals.go    the comparison
//	sendfile/       a peer that only this proof needs
//	mycat.go        examples/mycat in C and in Go, compared by scm diff
//
// If a tool for a comparison is missing, the comparison is listed as not run. With CI=true that
// is an error.
package identity
