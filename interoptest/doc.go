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
// The scenarios look at the descriptors of a case. They do not notice that the library leaves open a descriptor of its
// own, such as an epoll instance, changes close-on-exec of a descriptor that it sends, or leaves options or O_NONBLOCK
// set on the socket after a receive. The library runs in other processes: go test -cover counts its statements there,
// but a test binary that you start yourself reports 0 %.
//
// Run exists only on Linux, so save the test as interop_linux_test.go.
package interoptest
