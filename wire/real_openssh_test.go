//go:build linux

package wire_test

import (
	"bufio"
	"os/exec"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/reexec"
	"github.com/scm-rights/scm/wire"
)

// ssh returns the command of an OpenSSH client that reads no configuration file.
func ssh(ctx SpecContext, more ...string) *exec.Cmd {
	GinkgoHelper()
	words := []string{program("ssh", "openssh-client"), "-F", "none", "-o", "BatchMode=yes"}
	return commandOf(ctx, words, more...)
}

// The child is a ProxyCommand. It connects, and sends the connection to its standard output, which is a
// socket to ssh.
var _ = child("proxy", func(args []string) error {
	sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	if err := unix.Connect(sock, &unix.SockaddrUnix{Name: args[0]}); err != nil {
		return err
	}
	return wire.OpenSSH.Send(wire.FD(1), "", sock)
})

var _ = Describe("OpenSSH", Label("real"), func() {
	It("receives its connection from a ProxyCommand with ProxyUseFdpass", func(ctx SpecContext) {
		f := connect("unix")
		path, accept := f.listen()
		proxy := strings.Join(reexec.CommandLine("proxy", path), "' '")
		cmd := ssh(ctx, "-o", "ProxyUseFdpass=yes", "-o", "ProxyCommand='"+proxy+"'", "nowhere.invalid")
		client := begin(cmd)
		server := accept()
		line := ok(bufio.NewReader(reader(server)).ReadString('\n'))
		Expect(line).To(HavePrefix("SSH-2.0-OpenSSH"))
		Expect(unix.Shutdown(server, unix.SHUT_RDWR)).To(Succeed())
		Expect(client.waitFailure()).To(Equal(255))
	}, NodeTimeout(timeout))
})
