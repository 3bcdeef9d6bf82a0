//go:build linux && !purego

package repotest

import (
	"os/exec"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("the race detector", Label("build"), func() {
	DescribeTable("takes a receive to be after its send, and would report one that it does not see",
		func(backend string, args ...string) {
			needsCompiler()
			if _, stderr, err := (goTool{}).run("list", "-race", "runtime/race"); err != nil {
				Skip("no race detector: " + strings.TrimSpace(stderr))
			}
			g := goTool{dir: consumer()}
			g.writes(map[string]string{"main.go": talkProgram})
			bin := filepath.Join(g.dir, "talk")
			g.must(append(append([]string{"build", "-race", "-o", bin}, args...), ".")...)
			talk := func(how string) string {
				out, err := exec.Command(bin, how).CombinedOutput()
				if err == nil || strings.Contains(string(out), "WARNING: DATA RACE") {
					return string(out)
				}
				Fail(how + ": " + err.Error() + "\n" + string(out))
				return ""
			}
			Expect(talk("backend")).To(Equal(backend + "\n"))
			var racy []string
			for how := range strings.FieldsSeq(talk("list")) {
				if out := talk(how); out != "" {
					GinkgoWriter.Println(how + ":\n" + out)
					racy = append(racy, how)
				}
			}
			Expect(racy).To(Equal([]string{"unseen"}))
		},
		Entry("over cgo", "cgo"),
		Entry("in Go", "purego", "-tags=purego"),
	)
})

// talkProgram has a client and a server. What the server writes before it answers, the
// client reads after the answer. "unseen" is a way of talking that the detector does not see.
const talkProgram = `package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"

	"github.com/scm-rights/scm"
)

// An end sends something, and receives what the other end sends.
type end struct{ send, receive func() error }

type way struct {
	name string
	ends func() (a, b end)
}

var ways = []way{
	{"unseen", func() (a, b end) {
		return numbers(syscall.SOCK_STREAM, func(sock int) end {
			p := make([]byte, 1)
			return end{
				func() error { return syscall.Sendto(sock, p, 0, nil) },
				func() error { _, _, err := syscall.Recvfrom(sock, p, 0); return err },
			}
		})
	}},
	{"files", func() (a, b end) {
		return conns("unix", func(c *scm.Conn) end {
			file := os.Stdin
			return end{
				func() error { return c.SendFile("x", file) },
				func() error { got, err := c.RecvFile(); return closed(got, err) },
			}
		})
	}},
	{"bytes", func() (a, b end) {
		return conns("unixgram", func(c *scm.Conn) end {
			p := make([]byte, 1)
			return end{
				func() error { _, err := c.WriteFiles(p); return err },
				func() error { _, _, err := c.ReadFiles(p, 0); return err },
			}
		})
	}},
	{"packet", func() (a, b end) {
		return conns("unixpacket", func(c *scm.Conn) end {
			return end{
				func() error { return c.Send(&scm.Message{Buffers: [][]byte{{1}}}, 0) },
				func() error { return c.Recv(&scm.Message{Buffers: [][]byte{{0}}}, 0) },
			}
		})
	}},
	{"pair", func() (a, b end) {
		return numbers(syscall.SOCK_STREAM, func(sock int) end {
			p := make([]byte, 1)
			return end{
				func() error { _, err := scm.WriteFD(sock, p, sock); return err },
				func() error {
					_, fd, err := scm.ReadFD(sock, p)
					if err == nil {
						err = syscall.Close(fd)
					}
					return err
				},
			}
		})
	}},
	{"message", func() (a, b end) {
		return numbers(syscall.SOCK_DGRAM, func(sock int) end {
			many := make([][]byte, 20)
			return end{
				func() error { return scm.Send(sock, &scm.Message{Buffers: many}, 0) },
				func() error { return scm.Recv(sock, &scm.Message{Buffers: many}, 0) },
			}
		})
	}},
	{"batch", func() (a, b end) {
		return numbers(syscall.SOCK_DGRAM, func(sock int) end {
			return end{
				func() error { _, err := scm.SendBatch(sock, make([]scm.Message, 1), 0); return err },
				func() error { _, err := scm.RecvBatch(sock, make([]scm.Message, 1), 0); return err },
			}
		})
	}},
}

func main() {
	switch os.Args[1] {
	case "backend":
		fmt.Println(scm.Backend)
		return
	case "list":
		for _, w := range ways {
			fmt.Println(w.name)
		}
		return
	}
	client, server := ways[slices.IndexFunc(ways, func(w way) bool { return w.name == os.Args[1] })].ends()
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

func conns(network string, endOf func(*scm.Conn) end) (end, end) {
	a, b, err := scm.Pair(network)
	check(err)
	return endOf(a), endOf(b)
}

func numbers(typ int, endOf func(sock int) end) (end, end) {
	p, err := syscall.Socketpair(syscall.AF_UNIX, typ, 0)
	check(err)
	return endOf(p[0]), endOf(p[1])
}

func closed(c io.Closer, err error) error {
	if err == nil {
		err = c.Close()
	}
	return err
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
`
