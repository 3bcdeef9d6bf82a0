// Package interop runs descriptor-passing scenarios with peers. A peer is a program, in any
// language, that implements the contract in interop/peers/README.md.
//
// The package tests implementations of descriptor passing, so it uses neither package scm nor its
// C library. It does not trust what a peer reports about a descriptor, and asks the kernel
// instead. It runs on Linux.
//
// Run runs all cases of a plan. In a test, Open and Session.Run run them one at a time. Both group the
// cases by the pair of peers that they test. A pair starts two peers, which run many of its cases one
// after the other. A caseRun holds the state of one of these cases while it runs, including a side for
// each of the roles A and B.
//
// Package judge runs the case: it requests one thing after the other, and caserun_linux.go carries out
// each request and returns what happened as a fact. So a line that a peer prints becomes a verdict:
//
//	judge       course.go, expect: requests an answer (Await)
//	process     reads the line, within the time limit
//	judge       course.go, await: requests a look at the descriptors that the line names (Look)
//	interop     observe_linux.go asks the kernel which descriptors the process has
//	judge       answer.go, judgeAnswer: says what is wrong
//	interop     holders_linux.go, once at the end: finds files that are still open elsewhere (Watch)
//	interop     caserun_linux.go, runCase: a case with findings fails
//	judge       Blame finds the peer at fault for each finding
//	scenario    compares the findings with the expected failures, which gives the verdict
//	            (Expectations.SetVerdict)
//
// A fact is a value, and judge does no input or output. So a test can say in a row what happened and
// what must be found: see interop/judge/judge_test.go.
//
// To add a command for peers, start in contract/commands.go. To add a call for kernel scenarios,
// start in kernel/calls.go. The comments in these files say where to implement it.
package interop
