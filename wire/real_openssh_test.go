//go:build linux

package wire_test

import (
	"bufio"
	"encoding/binary"
	"io"
	"os"
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

	It("sends its standard input, output and error to the connection's master process in three messages", func(ctx SpecContext) {
		f := connect("unix")
		path, accept := f.listen()
		sent := f.files(3)
		cmd := ssh(ctx, "-o", "ControlPath="+path, "nowhere.invalid", "command")
		stdin, stdout, stderr := duplicate(sent[0]), duplicate(sent[1]), duplicate(sent[2])
		cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
		client := begin(cmd)
		_, _, _ = stdin.Close(), stdout.Close(), stderr.Close()

		master := mux{f, accept()}
		master.sends(muxHello, 4)
		master.expects(muxHello)
		alive := master.expects(muxAliveCheck)
		master.sends(muxAlive, alive[0], uint32(os.Getpid()))
		session := master.expects(muxNewSession)
		for _, file := range sent {
			f.from(wire.OpenSSH, master.sock, file)
		}
		master.sends(muxSessionOpened, session[0], 1)
		master.sends(muxExitMessage, 1, 7)
		f.CloseNow(master.sock)
		Expect(client.waitFailure()).To(Equal(7))
	}, NodeTimeout(timeout))
})

// mux is the master's end of OpenSSH's multiplexing protocol, which PROTOCOL.mux in the OpenSSH sources
// describes.
type mux struct {
	*fixture
	sock int
}

const (
	muxHello         = 0x00000001
	muxNewSession    = 0x10000002
	muxAliveCheck    = 0x10000004
	muxExitMessage   = 0x80000004
	muxAlive         = 0x80000005
	muxSessionOpened = 0x80000006
)

func (m mux) sends(words ...uint32) {
	GinkgoHelper()
	packet := binary.BigEndian.AppendUint32(nil, uint32(4*len(words)))
	for _, word := range words {
		packet = binary.BigEndian.AppendUint32(packet, word)
	}
	sends(m.sock, string(packet))
}

// expects reads a packet of the given type and returns the integers after the type.
func (m mux) expects(kind uint32) (rest []uint32) {
	GinkgoHelper()
	head := m.read(4)
	body := m.read(int(binary.BigEndian.Uint32(head)))
	Expect(binary.BigEndian.Uint32(body)).To(Equal(kind))
	for body = body[4:]; len(body) >= 4; body = body[4:] {
		rest = append(rest, binary.BigEndian.Uint32(body))
	}
	return rest
}

func (m mux) read(n int) []byte {
	GinkgoHelper()
	p := make([]byte, n)
	ok(io.ReadFull(reader(m.sock), p))
	return p
}
