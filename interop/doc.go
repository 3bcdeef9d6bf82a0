// Package interop runs scenarios of descriptor passing with peers: programs in any language that
// speak the contract of interop/peers/README.md.
//
// It judges implementations, so it uses none: neither package scm nor its C library. It believes
// nothing that a peer reports about a descriptor, and asks the kernel instead. It runs on Linux.
//
// Run groups the cases by their two peers. A session starts two peers, which run many cases one
// after the other. A caseRun is one of these cases while it runs, with a side for each role.
//
// The path from the line that a peer prints to a verdict leads through these packages:
//
//	process     reads the line, within the time limit
//	interop     steps_linux.go, from top to bottom: waits, judges the text, inspects the process
//	contract    parses the text
//	scenario    compares it with the transcript (Answer.Match)
//	witness     shows what the kernel knows about the descriptors of the process
//	interop     holders_linux.go, once at the end: finds files that are still open elsewhere
//	interop     caserun_linux.go, runCase: a case with findings fails
//	interop     run_linux.go, decide: assignBlame finds the peer at fault for each finding
//	scenario    compares the findings with the expected failures, which gives the verdict
//	            (Expectations.SetVerdict)
//
// A new command for peers is added in contract/commands.go, and a new call for kernel scenarios in
// kernel/calls.go. The comments there name the function that carries it out.
package interop
