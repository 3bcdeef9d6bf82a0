//go:build linux

package wire_test

import (
	"net"
	"os/exec"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/wire"
)

var _ = Describe("netcat -F", Label("real"), func() {
	It("passes the socket that it connected", func(ctx SpecContext) {
		nc := program("nc.openbsd", "netcat-openbsd")
		f := connect("unix")
		server := ok(net.Listen("tcp", "127.0.0.1:0"))
		defer func() { _ = server.Close() }()
		_, port, _ := net.SplitHostPort(server.Addr().String())

		cmd := exec.CommandContext(ctx, nc, "-F", "127.0.0.1", port)
		stdout := duplicate(f.b)
		cmd.Stdout = stdout
		p := begin(cmd)
		_ = stdout.Close()
		_, fds, err := wire.OpenSSH.Recv(wire.FD(f.a))
		Expect(err).NotTo(HaveOccurred())
		f.owns(fds...)
		p.waitSuccess()

		ok(unix.Write(fds[0], []byte("hello")))
		conn := ok(server.Accept())
		defer func() { _ = conn.Close() }()
		text := make([]byte, 5)
		Expect(conn.Read(text)).To(Equal(5))
		Expect(string(text)).To(Equal("hello"))
	}, NodeTimeout(timeout))
})
