//go:build linux

package scm_test

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

var _ = Describe("Conn's system calls", func() {
	It("are repeated after EINTR, never block a thread, and send no signal", func() {
		CannotEmulate(fdtest.Traced)
		strace := FindStrace()
		record := filepath.Join(GinkgoT().TempDir(), "calls")
		cmd := ChildCommand("conn-calls")
		program, err := os.Executable()
		Expect(err).NotTo(HaveOccurred())
		// Every other call of a thread is interrupted before it does anything.
		cmd.Args = []string{strace, "-f", "-o", record, "-e", "trace=sendmsg,recvmsg", "-e", "inject=sendmsg,recvmsg:error=EINTR:when=1+2", program}
		cmd.Path = strace
		RunChild(cmd)

		text, err := os.ReadFile(record)
		Expect(err).NotTo(HaveOccurred())
		calls := regexp.MustCompile(`(?m) (sendmsg|recvmsg)\(.* (\S+)\)\s+= (-?\d+)( EINTR)?`).FindAllStringSubmatch(string(text), -1)
		interrupted := map[string]int{}
		for _, call := range calls {
			flags := map[string]string{"sendmsg": "MSG_DONTWAIT|MSG_NOSIGNAL", "recvmsg": "MSG_DONTWAIT|MSG_CMSG_CLOEXEC"}[call[1]]
			Expect(call[2]).To(Equal(flags), call[0])
			if call[4] != "" {
				interrupted[call[1]]++
			}
		}
		Expect(interrupted["sendmsg"]).To(BeNumerically(">=", 1))
		Expect(interrupted["recvmsg"]).To(BeNumerically(">=", 1))
	})
})

// conn-calls makes each call of a Conn three times, so that each is interrupted.
var _ = Child("conn-calls", func([]string) {
	for _, network := range []string{"unix", "unixgram", "unixpacket"} {
		a, b, err := scm.Pair(network)
		Expect(err).NotTo(HaveOccurred())
		Expect(a.SetDeadline(time.Now().Add(Hang))).To(Succeed())
		Expect(b.SetDeadline(time.Now().Add(Hang))).To(Succeed())
		p := make([]byte, 8)
		for range 3 {
			Expect(a.Write([]byte("x"))).To(Equal(1))
			Expect(b.Read(p)).To(Equal(1))

			Expect(a.WriteFiles([]byte("x"), os.Stdin)).To(Equal(1))
			n, files, err := b.ReadFiles(p, 1)
			Expect(err).NotTo(HaveOccurred())
			Expect(n).To(Equal(1))
			Expect(files).To(HaveLen(1))

			Expect(a.SendFile("name", os.Stdin)).To(Succeed())
			Expect(Second(b.RecvFile())).To(Succeed())

			m := scm.Message{Buffers: [][]byte{p}}
			Expect(a.Send(&m, 0)).To(Succeed())
			Expect(b.Recv(&m, 0)).To(Succeed())
			Expect(m.N).To(Equal(len(p)))
		}
		for _, c := range []io.Closer{a, b} {
			Expect(c.Close()).To(Succeed())
		}
	}
})
