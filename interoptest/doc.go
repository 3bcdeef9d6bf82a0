// Package interoptest runs the scenarios of scm interop with a Go library, in the library's own tests. They check that
// the library passes descriptors intact and close-on-exec, leaks none, and reports those that the kernel drops.
//
//	func TestInterop(t *testing.T) {
//		open := func(sock int) (peer.Socket, error) { return socket{sock}, nil }
//		lib := peer.Library{Name: "mine", Version: "1.2", Can: "stream,dgram,seqpacket,multi", Open: open}
//		interoptest.Run(t, lib, "testdata/interop.txt")
//	}
//
// The comments of package github.com/scm-rights/scm/interop/peers/go/peer show the rest: a peer.Socket, here the type
// socket, has the methods Send and Recv, which call the library. docs/testing-a-library.md shows a whole file.
//
// Run exists only on Linux, so save the test as interop_linux_test.go.
package interoptest
