//go:build linux && !purego && !scm_purego

package repotest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("the race detector", Label("build"), func() {
	DescribeTable("orders each receive after its send, and reports a race for a system call that it does not see and for a write after the send,",
		func(backend string, args ...string) {
			needsCompiler()
			if _, stderr, err := (goTool{}).run("list", "-race", "runtime/race"); err != nil {
				Skip("no race detector: " + strings.TrimSpace(stderr))
			}
			g := goTool{dir: consumer()}
			g.writeFiles(map[string]string{"main.go": raceProgram})
			bin := filepath.Join(g.dir, "race")
			g.must(append(append([]string{"build", "-race", "-o", bin}, args...), ".")...)
			cmd := exec.Command(bin)
			cmd.Env = append(os.Environ(), "GORACE=suppress_equal_stacks=0 suppress_equal_addresses=0 exitcode=0 atexit_sleep_ms=0")
			var stderr strings.Builder
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			GinkgoWriter.Println(stderr.String())
			Expect(err).NotTo(HaveOccurred())
			Expect(strings.Split(strings.TrimSpace(string(out)), "\n")).To(Equal([]string{backend, "the others are right"}))
		},
		Entry("over cgo", "cgo"),
		Entry("in Go", "purego", "-tags=scm_purego"),
	)
})

// raceProgram sends a message with each call, and receives it with each, on each type of socket. One goroutine
// writes a variable before it sends, and another reads the variable after it has received. The race detector does
// not see the system calls of "unseen", and must report these. If the write follows the send, it must report all.
const raceProgram = `package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"github.com/scm-rights/scm"
)

// A way is a call that sends or receives p. It has a blocking socket or a Conn.
type way struct {
	name string
	sock func(sock int, p []byte) error
	conn func(c *scm.Conn, p []byte) error
}

var senders = []way{
	{"unseen", func(sock int, p []byte) error { return syscall.Sendto(sock, p, 0, nil) }, nil},
	{"WriteFD", func(sock int, p []byte) error { _, err := scm.WriteFD(sock, p, 0); return err }, nil},
	{"Send", func(sock int, p []byte) error { return scm.Send(sock, message(p), 0) }, nil},
	{"Conn.Send", nil, func(c *scm.Conn, p []byte) error { return c.Send(message(p), 0) }},
	{"WriteFiles", nil, func(c *scm.Conn, p []byte) error { _, err := c.WriteFiles(p, os.Stdin); return err }},
	{"WriteBuffers", nil, func(c *scm.Conn, p []byte) error { _, err := c.WriteBuffers([][]byte{p}, os.Stdin); return err }},
	{"WriteFDs", nil, func(c *scm.Conn, p []byte) error { _, err := c.WriteFDs(p, 0); return err }},
	{"SendFile", nil, func(c *scm.Conn, p []byte) error { return c.SendFile(string(p), os.Stdin) }},
	{"net", nil, func(c *scm.Conn, p []byte) error { _, err := c.Write(p); return err }},
}

var receivers = []way{
	{"unseen", func(sock int, p []byte) error { _, _, err := syscall.Recvfrom(sock, p, 0); return err }, nil},
	{"ReadFD", func(sock int, p []byte) error { _, fd, err := scm.ReadFD(sock, p); scm.CloseFDs(fd); return err }, nil},
	{"Recv", func(sock int, p []byte) error { m := message(p); defer m.Close(); return scm.Recv(sock, m, 0) }, nil},
	{"Conn.Recv", nil, func(c *scm.Conn, p []byte) error { m := message(p); defer m.Close(); return c.Recv(m, 0) }},
	{"ReadFiles", nil, func(c *scm.Conn, p []byte) error { _, files, err := c.ReadFiles(p, 1); closeAll(files); return err }},
	{"ReadBuffers", nil, func(c *scm.Conn, p []byte) error {
		_, files, err := c.ReadBuffers([][]byte{p}, 1)
		closeAll(files)
		return err
	}},
	{"ReadFDs", nil, func(c *scm.Conn, p []byte) error {
		fds := []int{-1}
		_, _, err := c.ReadFDs(p, fds)
		scm.CloseFDs(fds...)
		return err
	}},
	{"RecvFile", nil, func(c *scm.Conn, p []byte) error {
		f, err := c.RecvFile()
		if errors.Is(err, scm.ErrNoFile) {
			return nil
		}
		closeAll([]*os.File{f})
		return err
	}},
	{"net", nil, func(c *scm.Conn, p []byte) error { _, err := c.Read(p); return err }},
}

func main() {
	fmt.Println(scm.Backend)
	for _, typ := range []int{syscall.SOCK_STREAM, syscall.SOCK_DGRAM, syscall.SOCK_SEQPACKET} {
		for _, s := range senders {
			for _, r := range receivers {
				for _, late := range []bool{false, true} {
					before := runtime.RaceErrors()
					for range 5 { // a pool that both ends use can hide a race
						session(typ, s, r, late)
					}
					racy := runtime.RaceErrors() > before
					if racy != (late || s.name == "unseen" || r.name == "unseen") {
						fmt.Printf("%s to %s, type %d, written late: %v, reported: %v\n", s.name, r.name, typ, late, racy)
					}
				}
			}
		}
	}
	fmt.Println("the others are right")
}

func session(typ int, s, r way, late bool) {
	p, err := syscall.Socketpair(syscall.AF_UNIX, typ, 0)
	check(err)
	send, closeSender := s.on(p[0])
	receive, closeReceiver := r.on(p[1])
	n, done := 0, make(chan int)
	go func() {
		check(receive())
		done <- n
	}()
	if !late {
		n = 1
	}
	check(send())
	if late {
		n = 1
	}
	<-done
	check(errors.Join(closeSender(), closeReceiver()))
}

// on returns the call on a socket, and a function that closes the socket.
func (w way) on(sock int) (call, closeIt func() error) {
	p := []byte("x")
	if w.sock != nil {
		return func() error { return w.sock(sock, p) }, func() error { return syscall.Close(sock) }
	}
	c, err := scm.NewConnFD(sock)
	check(err)
	return func() error { return w.conn(c, p) }, c.Close
}

func message(p []byte) *scm.Message { return &scm.Message{Buffers: [][]byte{p}, FDs: []int{0}} }

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
`
