//go:build linux

package scm_test

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
)

// Three messages go by one system call and come by another, each with its own
// descriptor.
func ExampleSendBatch() {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET, 0)
	must(err)
	defer unix.Close(p[0])
	defer unix.Close(p[1])

	var out []scm.Message
	for _, name := range []string{"/dev/null", "/dev/zero", "/"} {
		file, err := os.Open(name)
		must(err)
		defer file.Close()
		out = append(out, scm.Message{Buffers: [][]byte{[]byte(name)}, FDs: []int{int(file.Fd())}})
	}
	for rest := out; len(rest) > 0; {
		n, err := scm.SendBatch(p[0], rest, unix.MSG_NOSIGNAL)
		if err != nil {
			panic(err) // of rest[0], which was not sent, nor what is behind it
		}
		rest = rest[n:]
	}

	in := make([]scm.Message, 8)
	for i := range in {
		in[i] = scm.Message{Buffers: [][]byte{make([]byte, 64)}, FDs: make([]int, 1)}
	}
	n, err := scm.RecvBatch(p[1], in, unix.MSG_WAITFORONE)
	must(err)
	for _, m := range in[:n] {
		file, err := scm.NewFile(m.FDs[0], string(m.Buffers[0][:m.N]))
		must(err)
		info, err := file.Stat()
		must(err)
		fmt.Println(file.Name(), info.IsDir())
		file.Close()
	}
	// Output:
	// /dev/null false
	// /dev/zero false
	// / true
}
