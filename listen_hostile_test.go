//go:build linux

package scm_test

import (
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	. "github.com/scm-rights/scm/internal/spectest"
)

// Attacks on a Listener by a client, and what becomes of the file of a socket that is handed over.

var _ = DescribeTableSubtree("a Listener", Label("attack"), func(network string) {
	It("closes what its check does not let in, also if that panics or ends the goroutine", func() {
		for how, end := range map[string]func(){"panics": func() { panic("mine") }, "ends": runtime.Goexit} {
			l := listen(scm.Config{Check: func(*scm.Conn) error { end(); return nil }}, network, "@"+UniqueName())
			client := dial(network, l.Addr().String())
			Expect(client.CloseWrite()).To(Succeed())
			goes(func() {
				defer func() { _ = recover() }()
				_, _ = l.AcceptConn()
				Fail("AcceptConn returned after Check " + how)
			})()
			Expect(client.Read(make([]byte, 1))).Error().To(MatchError(io.EOF), how)
		}
	})

}, Entry("unix", "unix"), Entry("unixpacket", "unixpacket"))

// hands sends what listens, or a datagram socket, over c.
func hands(c *scm.Conn, l closer) error {
	if dgram, ok := l.(*scm.Conn); ok {
		return c.SendConn(dgram)
	}
	return c.SendListener(l)
}

var _ = DescribeTableSubtree("Close of a socket with a file", func(network string) {
	It("leaves the file of a socket that was handed over", func() {
		a, b := pair("unix")
		path := socketPath()
		l := mustListen(scm.Config{}, network, path)
		Expect(hands(a, l)).To(Succeed())
		Expect(l.Close()).To(Succeed())
		Expect(path).To(BeAnExistingFile())
		_, files, err := b.ReadFiles(make([]byte, 1), 1)
		Expect(err).NotTo(HaveOccurred())
		Expect(lentAll(files)).To(HaveLen(1))
		dial(network, path)
	})

	It("has removed it when the calls that waited end", func() {
		for range 20 {
			path := socketPath()
			l := mustListen(scm.Config{}, network, path)
			method, waits := "AcceptConn", func() error { return Second(l.(*scm.Listener).AcceptConn()) }
			if c, ok := l.(*scm.Conn); ok {
				method, waits = "Recv", func() error { return c.Recv(&scm.Message{Buffers: [][]byte{make([]byte, 1)}}, 0) }
			}
			waiting := goes(func() {
				Expect(waits()).To(MatchError(net.ErrClosed))
				Expect(path).NotTo(BeAnExistingFile())
			})
			waitsIn(method, 1)
			Expect(l.Close()).To(Succeed())
			waiting()
		}
	})

	It("returns the error where it cannot remove it, and closes the socket", func() {
		RunChild(withoutPrivileges(ChildCommand("close-unwritable", network)))
	})
}, everyNetwork)

// withoutPrivileges has another user run a child in root's place.
func withoutPrivileges(cmd *exec.Cmd) *exec.Cmd {
	GinkgoHelper()
	if os.Geteuid() == 0 {
		if err := ReadableByOthers(); err != nil {
			Skip("another user may not run the test binary: " + err.Error())
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 12345}}
	}
	return cmd
}

var _ = Child("close-unwritable", func(args []string) {
	dir, err := os.MkdirTemp("", "scm")
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "s")
	l, err := listenAny(context.Background(), scm.Config{}, args[0], path)
	Expect(err).NotTo(HaveOccurred())
	Expect(os.Chmod(dir, 0o500)).To(Succeed())
	Expect(l.Close()).To(opFails("close", unix.EACCES))
	Expect(l.Close()).To(opFails("close", net.ErrClosed))
	Expect(path).To(BeAnExistingFile())
	Expect(os.Chmod(dir, 0o700)).To(Succeed())
})
