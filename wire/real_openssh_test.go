//go:build linux

package wire_test

import (
	"bufio"
	"net"
	"os/exec"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/reexec"
	. "github.com/scm-rights/scm/internal/spectest"
	"github.com/scm-rights/scm/wire"
)

// The child is a ProxyCommand. It connects, and sends the connection to its standard output, which is a
// socket to ssh.
var _ = Child("proxy", func(args []string) {
	sock := ok(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0))
	Expect(unix.Connect(sock, &unix.SockaddrUnix{Name: args[0]})).To(Succeed())
	Expect(wire.OpenSSH.Send(wire.FD(1), "", sock)).To(Succeed())
})

var _ = Describe("OpenSSH", Label("real"), func() {
	It("receives its connection from a ProxyCommand with ProxyUseFdpass", func(ctx SpecContext) {
		ssh := program("ssh", "openssh-client")
		f := connect("unix")
		path, accept := f.listen()
		proxy := strings.Join(reexec.CommandLine("proxy", path), "' '")
		client := begin(exec.CommandContext(ctx, ssh, "-F", "none", "-o", "BatchMode=yes", // no configuration file
			"-o", "ProxyUseFdpass=yes", "-o", "ProxyCommand='"+proxy+"'", "nowhere.invalid"))
		server := accept()
		line := ok(bufio.NewReader(duplicate(int(server))).ReadString('\n'))
		Expect(line).To(HavePrefix("SSH-2.0-OpenSSH"))
		Expect(unix.Shutdown(int(server), unix.SHUT_RDWR)).To(Succeed())
		exits(client, 255)
	}, NodeTimeout(timeout))
})

var _ = Describe("netcat -F", Label("real"), func() {
	It("passes the socket that it connected", func(ctx SpecContext) {
		nc := program("nc.openbsd", "netcat-openbsd")
		f := connect("unix")
		server := ok(net.Listen("tcp", "127.0.0.1:0"))
		defer func() { _ = server.Close() }()
		_, port, _ := net.SplitHostPort(server.Addr().String())

		p := begin(exec.CommandContext(ctx, "sh", "-c", `exec "$0" "$@" >&3`, nc, "-F", "127.0.0.1", port), int(f.b))
		_, fds := f.recv(wire.OpenSSH, f.a)
		exits(p, 0)

		ok(unix.Write(fds[0], []byte("hello")))
		conn := ok(server.Accept())
		defer func() { _ = conn.Close() }()
		text := make([]byte, 5)
		Expect(conn.Read(text)).To(Equal(5))
		Expect(string(text)).To(Equal("hello"))
	}, NodeTimeout(timeout))
})
