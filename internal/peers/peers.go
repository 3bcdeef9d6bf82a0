//go:build linux

// Package peers has the peers that the scm command carries, so that it can play
// the interop suite where nothing else is installed, and that the tests run in
// their own process.
package peers

import "github.com/scm-rights/scm/interop/peers/go/peer"

// All returns them, scm's own first.
func All() []peer.Library {
	return []peer.Library{SCM(), SCMPair(), FDChannel(), Net(), XSys()}
}

const socketTypes = "stream,dgram,seqpacket"
