//go:build linux

// Package builtin has the peers that the scm command carries, so that it can play
// the interop suite where nothing else is installed, and that test programs are
// when they are told to.
package builtin

import (
	"os"

	"github.com/scm-rights/scm/interop/peers/go/peer"
)

// Argument, before the name of one of them, makes a program that calls Main that peer.
const Argument = "scm-test-peer"

// Main makes this program a peer and does not return then, if its command line asks for that.
func Main() {
	if len(os.Args) != 3 || os.Args[1] != Argument {
		return
	}
	for _, lib := range All() {
		if lib.Name == os.Args[2] {
			peer.Main(lib)
			os.Exit(0)
		}
	}
	os.Exit(2)
}

// All returns them, scm's own first.
func All() []peer.Library {
	return []peer.Library{SCM(), SCMPair(), FDChannel(), Net(), XSys()}
}

const socketTypes = "stream,dgram,seqpacket"
