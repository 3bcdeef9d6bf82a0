//go:build linux

// Package builtin has the peers that are part of the command scm, so that it can run the interop suite on a
// machine without any other peers. Test binaries can also run as these peers.
package builtin

import (
	"os"

	"github.com/scm-rights/scm/interop/peers/go/peer"
)

// Argument is the first of two arguments that make a program run as a peer. The second one is the peer's name.
const Argument = "scm-test-peer"

// Main runs a peer if the command line requests one, and then does not return.
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

// All returns all peers, those on scm first.
func All() []peer.Library {
	return []peer.Library{SCM(), SCMPair(), FDChannel(), Net(), XSys()}
}

const socketTypes = "stream,dgram,seqpacket"
