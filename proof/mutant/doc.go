// Package mutant puts faults into the sources, to test the tests. It does not change the sources themselves.
//
// A fault is a change to a file, and what must find it: a spec, a row of csrc's tests, or a part of what another kind
// of test prints (faults_linux.go, and generated_linux.go for one fault per byte or flag). Each kind of test tries its
// faults with TryAll.
package mutant
