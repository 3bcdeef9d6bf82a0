//go:build linux

package wire_test

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/wire"
)

// haproxyConfiguration makes HAProxy receive clients through descriptor 3, and send those that request
// /through to a server through descriptor 4.
const haproxyConfiguration = `
defaults
	mode http
	timeout connect 30s
	timeout client 30s
	timeout server 30s
frontend in
	bind sockpair@3
	http-request return status 200 content-type text/plain string "from haproxy" unless { path /through }
	default_backend out
backend out
	server s sockpair@4
`

var _ = Describe("HAProxy", Label("real"), func() {
	It("receives and sends client connections through sockpair@", func(ctx SpecContext) {
		haproxy := program("haproxy", "haproxy")
		in, out := connect("unix"), connect("unix")
		configuration := filepath.Join(GinkgoT().TempDir(), "haproxy.cfg")
		Expect(os.WriteFile(configuration, []byte(haproxyConfiguration), 0o600)).To(Succeed())
		begin(exec.CommandContext(ctx, haproxy, "-db", "-f", configuration), int(in.b), int(out.b))

		By("sending it a client")
		client := in.client()
		ok(unix.Write(client, []byte("GET / HTTP/1.0\r\n\r\n")))
		Expect(answerFrom(client)).To(Equal("from haproxy"))

		By("receiving a client from it")
		client = in.client()
		ok(unix.Write(client, []byte("GET /through HTTP/1.0\r\n\r\n")))
		_, fds := out.recv(wire.HAProxySockpair, out.a)
		setTimeouts(wire.FD(fds[0]))
		request := ok(http.ReadRequest(bufio.NewReader(duplicate(fds[0]))))
		Expect(request.URL.Path).To(Equal("/through"))
		ok(unix.Write(fds[0], []byte("HTTP/1.0 200 OK\r\nContent-Length: 8\r\n\r\nfrom us!")))
		Expect(answerFrom(client)).To(Equal("from us!"))
	}, NodeTimeout(timeout))
})

// client sends one end of a new connection to HAProxy and returns the other.
func (f *fixture) client() int {
	GinkgoHelper()
	p := ok(unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))
	f.Own(p[0], p[1])
	setTimeouts(wire.FD(p[0]))
	Expect(wire.HAProxySockpair.Send(f.a, "", p[1])).To(Succeed())
	f.CloseNow(p[1])
	return p[0]
}

// answerFrom reads an HTTP response and returns its body.
func answerFrom(sock int) string {
	GinkgoHelper()
	response := ok(http.ReadResponse(bufio.NewReader(duplicate(sock)), nil))
	Expect(response.StatusCode).To(Equal(http.StatusOK))
	return string(ok(io.ReadAll(response.Body)))
}
