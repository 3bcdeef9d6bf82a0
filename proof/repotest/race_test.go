//go:build linux && !purego && !scm_purego

package repotest

import (
	"os/exec"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("the race detector", Label("build"), func() {
	DescribeTable("orders each receive after its send, and reports a race for a system call that it does not see,",
		func(backend string, args ...string) {
			needsCompiler()
			if _, stderr, err := (goTool{}).run("list", "-race", "runtime/race"); err != nil {
				Skip("no race detector: " + strings.TrimSpace(stderr))
			}
			g := goTool{dir: consumer()}
			g.writeFiles(map[string]string{"main.go": raceProgram})
			bin := filepath.Join(g.dir, "race")
			g.must(append(append([]string{"build", "-race", "-o", bin}, args...), ".")...)
			run := func(how string) string {
				out, err := exec.Command(bin, how).CombinedOutput()
				if err == nil || strings.Contains(string(out), "WARNING: DATA RACE") {
					return string(out)
				}
				Fail(how + ": " + err.Error() + "\n" + string(out))
				return ""
			}
			list := strings.Fields(run("list"))
			Expect(list[0]).To(Equal(backend))
			var racy []string
			for _, how := range list[1:] {
				if out := run(how); out != "" {
					GinkgoWriter.Println(how + ":\n" + out)
					racy = append(racy, how)
				}
			}
			Expect(racy).To(Equal([]string{"unseen"}))
		},
		Entry("over cgo", "cgo"),
		Entry("in Go", "purego", "-tags=scm_purego"),
	)
})

// raceProgram has a client and a server. The server writes a variable before it answers, and the client
// reads the variable after the answer. The race detector does not see the system calls of "unseen".
const raceProgram = `package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/scm-rights/scm"
)

// An end sends something, and receives what the other end sends.
type end struct{ send, receive func() error }

// ways are the pairs of calls to send and receive with, by name.
var ways = []struct {
	name string
	typ  int
	end  func(sock int) end
}{
	{"unseen", syscall.SOCK_STREAM, func(sock int) end {
		p := make([]byte, 1)
		return end{
			func() error { return syscall.Sendto(sock, p, 0, nil) },
			func() error { _, _, err := syscall.Recvfrom(sock, p, 0); return err },
		}
	}},
	{"files", syscall.SOCK_STREAM, func(sock int) end {
		c := conn(sock)
		return end{
			func() error { return c.SendFile("x", os.Stdin) },
			func() error { got, err := c.RecvFile(); return errors.Join(err, got.Close()) },
		}
	}},
	{"bytes", syscall.SOCK_DGRAM, func(sock int) end {
		c, p := conn(sock), make([]byte, 1)
		return end{
			func() error { _, err := c.WriteFiles(p); return err },
			func() error { _, _, err := c.ReadFiles(p, 0); return err },
		}
	}},
	{"packet", syscall.SOCK_SEQPACKET, func(sock int) end {
		c := conn(sock)
		return end{
			func() error { return c.Send(&scm.Message{Buffers: [][]byte{{1}}}, 0) },
			func() error { return c.Recv(&scm.Message{Buffers: [][]byte{{0}}}, 0) },
		}
	}},
	{"pair", syscall.SOCK_STREAM, func(sock int) end {
		p := make([]byte, 1)
		return end{
			func() error { _, err := scm.WriteFD(sock, p, sock); return err },
			func() error { _, fd, err := scm.ReadFD(sock, p); return errors.Join(err, syscall.Close(fd)) },
		}
	}},
	{"message", syscall.SOCK_DGRAM, func(sock int) end {
		many := make([][]byte, 20)
		return end{
			func() error { return scm.Send(sock, &scm.Message{Buffers: many}, 0) },
			func() error { return scm.Recv(sock, &scm.Message{Buffers: many}, 0) },
		}
	}},
}

func main() {
	if os.Args[1] == "list" {
		fmt.Print(scm.Backend)
		for _, w := range ways {
			fmt.Print(" ", w.name)
		}
		return
	}
	for _, w := range ways {
		if w.name != os.Args[1] {
			continue
		}
		p, err := syscall.Socketpair(syscall.AF_UNIX, w.typ, 0)
		check(err)
		session(w.end(p[0]), w.end(p[1]))
	}
}

func session(client, server end) {
	var n [100]int // more than one: a pool that both ends use can hide a race
	go func() {
		for i := range n {
			check(server.receive())
			n[i] = i
			check(server.send())
		}
	}()
	for i := range n {
		check(client.send())
		check(client.receive())
		if n[i] != i {
			panic(n[i])
		}
	}
}

func conn(sock int) *scm.Conn {
	c, err := scm.NewConnFD(sock)
	check(err)
	return c
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
`
