// Package difftest holds csrc and internal/pure against each other in one
// process: the same calls, in the same circumstances, have to come out the same.
//
// Each backend has a world of its own: a thread with its own table of open
// descriptors and its own folder. Both worlds begin alike, so that every number,
// every name and every byte can be compared as it is. A sequence of steps, some
// of them calls of the backend and some of them changes of circumstances, is
// done in both; after each step the results, the buffers and the whole table of
// open descriptors are compared.
//
// Sequences come from a walk at random (TestWalk), from the fuzzer
// (FuzzBackends), and from rapid, beside a model of what the kernel does
// (TestModel). The folder is a module of its own because of rapid: the library's
// go.mod has nothing that only these tests need.
//
//	go test ./...
//	SCM_DIFFTEST_CALLS=1000000 go test -run TestWalk -v -timeout 0
//	go test -fuzz FuzzBackends
//	SCM_MUTANTS=full go test -run TestMutants -v -timeout 0
package difftest
