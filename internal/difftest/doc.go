// Package difftest compares csrc and internal/pure in one process: the same calls in the same state must
// have the same results.
//
// Each backend has a world of its own: a thread with its own descriptor table and its own working folder.
// Both worlds start in the same state, so that every descriptor, every file name and every byte can be
// compared directly. Both run the same sequence of steps, which are calls of the backend or changes to the
// sockets and descriptors. After each step the results, the buffers and the whole descriptor table are
// compared.
//
// Sequences are chosen at random (TestWalk) or by the fuzzer (FuzzBackends).
//
// A fault that both backends have is not found here. The specs of package scm find it, and the catalogue.
//
// The folder is a module of its own, so that make test runs the walk once, and not with each backend. The
// program tools/prove/identity/script has another walk, and says why.
//
//	go test ./...
//	SCM_DIFFTEST_CALLS=1000000 go test -run TestWalk -v -timeout 0
//	go test -fuzz FuzzBackends
//	SCM_MUTANTS=full go test -run TestMutants -v -timeout 0
package difftest
