// Package interop plays scenarios of descriptor passing with peers: programs
// in any language that speak the contract of interop/peers/README.md.
//
// It is a judge, and uses nothing of what it judges: neither package scm nor
// its C library. What a peer says of a descriptor is not believed: the kernel
// is asked. It runs on Linux.
//
// Before a case, Parse (scenario/parse.go) reads the transcript that the answers are compared with.
//
// From an answer line to a verdict, in this order; play.steps (play_linux.go) does all but the
// last of the looks for each line, and a wrong answer ends the case:
//
//	Process.Hear             process/process_linux.go  reads the line, within the time limit
//	contract.ParseAnswer     contract/answer.go        parses it
//	play.received            play_linux.go             notes the numbers that it names
//	Want.Match               scenario/match_linux.go   compares it with the scenario (by play.hear, play_linux.go)
//	play.checkReceived       play_linux.go             asks witness about each received descriptor
//	checkHeld, checkStates   checks_linux.go           ask what was closed, or has another state
//	checkLeaks               checks_linux.go           asks what was left open
//	checkHolders             checks_linux.go           asks that of everybody, once, at the end
//	run.decide               run_linux.go              takes the findings, and calls:
//	playWithRunner           blame_linux.go            plays each peer with the runner if the other may be at fault
//	assignBlame              blame_linux.go            names the peer at fault
//	SetVerdict               scenario/expect.go        compares the findings with expected.txt
//	again, record            run_linux.go              play an unexpected case once more
package interop
