// Package difftest makes the same random calls with both backends, csrc and internal/pure. The same calls in the same
// state must have the same results.
//
// A world is a thread that runs the steps of a sequence with one backend. A step is a call of the backend, or a change
// to the sockets and descriptors. Worlds start in the same state, so that every descriptor, every file name and every
// byte can be compared directly. After each step a world looks at the results, the buffers and the whole descriptor
// table.
//
//	sequence.go  what a sequence is
//	choose.go    sequences chosen at random (a walk), or by the fuzzer
//	sizes.go     the sequences of every size that docs/trust.md lists
//	world.go     the state of a world, and the steps that change it
//	call.go      the steps that are calls
//	outcome.go   what a world sees after a step
//	place.go     the folder and the files that worlds share
//	record.go    the world of one backend, for proof/identity, which compares the system calls as well
//
// The tests compare the outcomes of both backends in one process, each in a thread with its own descriptor table and
// working folder (twins_test.go). They run only in the build with cgo, so make test runs them once.
//
// A fault that both backends have is not found here. The specs of package scm find it, and the catalogue.
//
//	go test -C proof ./difftest
//	SCM_DIFFTEST_CALLS=1000000 go test -C proof ./difftest -run TestWalk -v -timeout 0
//	go test -C proof ./difftest -fuzz FuzzBackends
//	SCM_MUTANTS=full go test -C proof ./difftest -run TestFaults -v -timeout 0
package difftest
