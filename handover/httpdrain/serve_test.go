//go:build unix

package httpdrain_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/scm-rights/scm/handover"
	"github.com/scm-rights/scm/handover/httpdrain"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/webtest"
)

// serves returns the process in the PID file, or 0.
func serves(path string) int {
	text, _ := os.ReadFile(path + ".pid")
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

// upgrade sends SIGHUP to the server, and returns the process that the PID file names then.
func upgrade(t *testing.T, path string) (now int) {
	t.Helper()
	before := serves(path)
	fdtest.Must(t, syscall.Kill(before, syscall.SIGHUP))
	fdtest.Eventually(t, "a successor serves", func() bool { now = serves(path); return now != 0 && now != before })
	return now
}

// The PID file names a successor before its Ready has returned, so the next SIGHUP may reach it that early.
func TestListenAndServe(t *testing.T) {
	upgrades := 3
	if os.Getenv("SCM_HANDOVER") == "full" {
		upgrades = 20
	}
	path := filepath.Join(fdtest.ShortDir(t), "socket")
	first, urls, lines := startServer(t, path, 0)
	borrowed := borrow()
	var clients []*webtest.Client
	for i := range 8 {
		transport := borrowed.Client().Transport.(*http.Transport).Clone()
		transport.Protocols = protocols([]string{"HTTP/1.1", "HTTP/2"}[i%2])
		transport.DisableKeepAlives = i == 0
		c := &webtest.Client{URL: urls["plain"], HTTP: http.Client{Transport: transport}, Again: true, Rest: webtest.Done}
		if i >= 4 {
			c.URL = urls["encrypted"]
		}
		clients = append(clients, c)
	}
	load, err := webtest.Start(clients...)
	fdtest.Must(t, err)
	defer func() { _, _ = load.End(0) }()
	for range upgrades {
		upgrade(t, path)
	}
	last := serves(path)
	fdtest.Eventually(t, "the last process answers all clients", func() bool { return load.Answers()[last] == len(clients) })
	totals, err := load.End(0)
	if err != nil {
		t.Error(err)
	}
	t.Logf("%d upgrades: %s", upgrades, totals)

	fdtest.Must(t, syscall.Kill(last, syscall.SIGTERM))
	fdtest.Eventually(t, "the last process ends", func() bool {
		for lines.Scan() { // until the last one closes the pipe
		}
		conn, err := net.Dial("tcp", strings.TrimPrefix(urls["plain"], "http://"))
		if err == nil {
			_ = conn.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	if err := first.Wait(); err != nil {
		t.Error("the first process: ", err)
	}
	if pid := serves(path); pid != 0 {
		t.Errorf("the PID file still names %d", pid)
	}
}

// A draining server does not keep a service from stopping.
func TestListenAndServeShortensADrainOnSIGTERM(t *testing.T) {
	path := filepath.Join(fdtest.ShortDir(t), "socket")
	first, urls, _ := startServer(t, path, 0, "10ms")
	body, end := io.Pipe()
	defer func() { _ = end.Close() }()
	answer, err := webtest.Post(http.DefaultClient, urls["plain"], body, true)
	fdtest.Must(t, err)
	successor := upgrade(t, path)
	fdtest.Eventually(t, "the first server is replaced", func() bool {
		transport := &http.Transport{DisableKeepAlives: true}
		pid, err := (&webtest.Client{URL: urls["plain"], HTTP: http.Client{Transport: transport}, Rest: webtest.Done}).Ask()
		return err == nil && pid == successor
	})
	limit := time.AfterFunc(timeLimit, func() { _ = first.Process.Kill() })
	defer limit.Stop()
	if err := errors.Join(first.Process.Signal(syscall.SIGTERM), first.Wait()); err != nil {
		t.Error("the first server, after SIGTERM: ", err)
	}
	_ = answer.Body.Close()
	fdtest.Must(t, syscall.Kill(successor, syscall.SIGTERM))
	fdtest.Eventually(t, "the successor ends", func() bool { return serves(path) == 0 })
}

// The first signal gives the clients more time than this test has.
func TestListenAndServeEndsOnASecondSIGTERM(t *testing.T) {
	first, urls, _ := startServer(t, filepath.Join(fdtest.ShortDir(t), "socket"), 0, "1h")
	body, end := io.Pipe()
	defer func() { _ = end.Close() }()
	answer, err := webtest.Post(http.DefaultClient, urls["plain"], body, true)
	fdtest.Must(t, err)
	defer func() { _ = answer.Body.Close() }()
	fdtest.Must(t, first.Process.Signal(syscall.SIGTERM))
	waitForDrain(t, strings.TrimPrefix(urls["plain"], "http://"))
	ended := make(chan error, 1)
	go func() { ended <- first.Wait() }()
	fdtest.Eventually(t, "a further SIGTERM ends the server", func() bool {
		_ = first.Process.Signal(syscall.SIGTERM) // it may still be ignoring this one
		return len(ended) > 0
	})
	err = <-ended
	if status := first.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGTERM {
		t.Error("the server ended with ", err)
	}
}

// A SIGHUP that arrives during an upgrade starts another one, if that one fails.
func TestListenAndServeRemembersSIGHUP(t *testing.T) {
	path := filepath.Join(fdtest.ShortDir(t), "socket")
	first, _, _ := startServer(t, path, 0)
	pid := first.Process.Pid
	fdtest.Eventually(t, "the server serves", func() bool { return serves(path) == pid })
	l, err := net.Listen("unix", path+".fails")
	fdtest.Must(t, err)
	defer func() { _ = l.Close() }()
	fdtest.Must(t, syscall.Kill(pid, syscall.SIGHUP))
	conn, err := l.Accept()
	if err == nil {
		err = errors.Join(l.Close(), syscall.Kill(pid, syscall.SIGHUP), conn.Close()) // the first successor fails
	}
	fdtest.Must(t, err)
	fdtest.Eventually(t, "another successor serves", func() bool { return serves(path) != 0 && serves(path) != pid })
	limit := time.AfterFunc(timeLimit, func() { _ = first.Process.Kill() })
	defer limit.Stop()
	if err := errors.Join(first.Wait(), syscall.Kill(serves(path), syscall.SIGTERM)); err != nil { // Ready has returned
		t.Error(err)
	}
	fdtest.Eventually(t, "the successor ends", func() bool { return serves(path) == 0 })
}

// Errors that are known before Ready do not replace a server that works.
func TestListenAndServeRejectsWhatCannotServe(t *testing.T) {
	endpoint := func(server *http.Server) httpdrain.Endpoint {
		return httpdrain.Endpoint{Name: "web", Network: "tcp", Address: "127.0.0.1:0", Server: server}
	}
	encrypted := func(config *tls.Config) *http.Server { return &http.Server{TLSConfig: config} }
	unsuited := borrow().TLS.Clone()
	unsuited.CipherSuites = notForHTTP2
	configured := encrypted(&tls.Config{Certificates: make([]tls.Certificate, 1)})
	configured.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){"h2": func(*http.Server, *tls.Conn, http.Handler) {}}
	closed := &http.Server{}
	fdtest.Must(t, closed.Close())
	for _, c := range []struct {
		want      string
		drain     time.Duration
		endpoints []httpdrain.Endpoint
	}{
		{"no Endpoint", time.Second, nil},
		{`"web" has no Server`, time.Second, []httpdrain.Endpoint{endpoint(nil)}},
		{`"web" has no certificate`, time.Second, []httpdrain.Endpoint{endpoint(encrypted(&tls.Config{MinVersion: tls.VersionTLS13}))}},
		{`"web" has no certificate with its private key`, time.Second, []httpdrain.Endpoint{endpoint(configured)}},
		{`"web" has no certificate with its private key`, time.Second,
			[]httpdrain.Endpoint{endpoint(encrypted(&tls.Config{Certificates: []tls.Certificate{{Certificate: unsuited.Certificates[0].Certificate}}}))}},
		{`"web": http2: TLSConfig.CipherSuites is missing`, time.Second, []httpdrain.Endpoint{endpoint(encrypted(unsuited))}},
		{`"web": http: Server closed`, time.Second, []httpdrain.Endpoint{endpoint(closed)}},
		{"drain is 0s", 0, []httpdrain.Endpoint{endpoint(&http.Server{})}},
		{"drain is -1s", -time.Second, []httpdrain.Endpoint{endpoint(&http.Server{})}},
	} {
		config := handover.Config{PIDFile: filepath.Join(t.TempDir(), "missing", "pid")} // so that Ready fails
		err := httpdrain.ListenAndServe(config, filepath.Join(fdtest.ShortDir(t), "socket"), c.drain, c.endpoints...)
		if !errors.Is(err, os.ErrInvalid) || !strings.Contains(err.Error(), c.want) || errors.Is(err, http.ErrServerClosed) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

// notForHTTP2 are cipher suites without the one that HTTP/2 requires.
var notForHTTP2 = []uint16{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384}

// Finding out whether net/http can serve a Server must not change it.
func TestListenAndServeServesTLS(t *testing.T) {
	certificate := borrow().TLS.Certificates[0]
	both, empty := []tls.Certificate{certificate, {}}, make([]tls.Certificate, 1)
	get := func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &certificate, nil }
	getConfig := func(*tls.ClientHelloInfo) (*tls.Config, error) { return &tls.Config{Certificates: both}, nil }
	unsuited := func() *tls.Config { return &tls.Config{Certificates: both[:1], CipherSuites: notForHTTP2} }
	newer := unsuited()
	newer.MinVersion = tls.VersionTLS13
	next := func() map[string]func(*http.Server, *tls.Conn, http.Handler) {
		return map[string]func(*http.Server, *tls.Conn, http.Handler){}
	}
	for _, c := range []struct {
		name   string
		want   string // the protocol of a client that knows both
		server *http.Server
	}{
		{"one of two certificates", "HTTP/2.0", &http.Server{TLSConfig: &tls.Config{Certificates: both}}},
		{"suites, TLS 1.3", "HTTP/2.0", &http.Server{TLSConfig: newer}},
		{"suites, Protocols without HTTP/2", "HTTP/1.1", &http.Server{TLSConfig: unsuited(), Protocols: protocols("HTTP/1.1")}},
		{"suites, TLSNextProto without HTTP/2", "HTTP/1.1", &http.Server{TLSConfig: unsuited(), TLSNextProto: next()}},
		{"Protocols and TLSNextProto", "HTTP/2.0", &http.Server{
			TLSConfig: &tls.Config{Certificates: both}, Protocols: protocols("HTTP/1.1", "HTTP/2"), TLSNextProto: next(),
		}},
		{"GetCertificate", "HTTP/2.0", &http.Server{TLSConfig: &tls.Config{GetCertificate: get}}},
		{"GetCertificate, an empty certificate", "HTTP/2.0", &http.Server{TLSConfig: &tls.Config{GetCertificate: get, Certificates: empty}}},
		{"GetConfigForClient", "HTTP/1.1", &http.Server{TLSConfig: &tls.Config{GetConfigForClient: getConfig}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(fdtest.ShortDir(t), "socket")
			c.server.Addr = "unused"
			returned := make(chan error, 1)
			address := listenAndServe(t, handover.Config{}, path, time.Minute, httpdrain.Endpoint{Server: c.server}, returned)
			transport := &http.Transport{
				ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "example.com"},
			}
			response, err := (&http.Client{Transport: transport}).Get("https://" + address)
			if err != nil {
				t.Error(err)
			} else if _ = response.Body.Close(); response.Proto != c.want || c.server.Addr != "unused" {
				t.Errorf("got %s, want %s, and the server's Addr is %q", response.Proto, c.want, c.server.Addr)
			}
			transport.CloseIdleConnections()
			fdtest.Must(t, c.server.Shutdown(patient(t)))
			returnsNil(t, returned)
		})
	}
}

// logs calls a function with each message.
type logs func(line string)

func (f logs) Handle(_ context.Context, r slog.Record) error { f(r.Message); return nil }
func (logs) Enabled(context.Context, slog.Level) bool        { return true }
func (f logs) WithAttrs([]slog.Attr) slog.Handler            { return f }
func (f logs) WithGroup(string) slog.Handler                 { return f }

// listenAndServe calls ListenAndServe in this process, with an address for web. It returns when the server serves.
func listenAndServe(t *testing.T, config handover.Config, path string, drain time.Duration, web httpdrain.Endpoint,
	returned chan error) (address string) {
	t.Helper()
	serving := make(chan string, 1)
	web.Server.BaseContext = func(l net.Listener) context.Context {
		serving <- l.Addr().String()
		return context.Background()
	}
	web.Name, web.Network, web.Address = "web", "tcp", "127.0.0.1:0"
	go func() { returned <- httpdrain.ListenAndServe(config, path, drain, web) }()
	select {
	case address = <-serving:
	case err := <-returned:
		t.Fatal(err)
	}
	return address
}

// returnsNil waits until ListenAndServe has returned.
func returnsNil(t *testing.T, returned <-chan error) {
	t.Helper()
	select {
	case err := <-returned:
		if err != nil {
			t.Error(err)
		}
	case <-patient(t).Done():
		t.Error("ListenAndServe has not returned")
	}
}

// Nothing else begins the drain then, for whose end ListenAndServe waits.
func TestListenAndServeReturnsAfterShutdown(t *testing.T) {
	path := filepath.Join(fdtest.ShortDir(t), "socket")
	web, returned := httpdrain.Endpoint{Server: &http.Server{}}, make(chan error, 1)
	listenAndServe(t, handover.Config{}, path, time.Minute, web, returned)
	fdtest.Must(t, web.Server.Shutdown(patient(t)))
	returnsNil(t, returned)
}

// The service stops, so a successor that is still preparing must not begin to serve.
func TestListenAndServeDoesNotHandOverAfterSIGTERM(t *testing.T) {
	path := filepath.Join(fdtest.ShortDir(t), "socket")
	entered, leave := make(chan bool), make(chan bool)
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/held", func(http.ResponseWriter, *http.Request) { entered <- true; <-leave })
	web, returned := httpdrain.Endpoint{Server: &http.Server{Handler: mux}}, make(chan error, 1)
	address := listenAndServe(t, handover.Config{}, path, time.Minute, web, returned)
	dial(t, address, "GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	successor, err := handover.Start(patient(t), path)
	fdtest.Must(t, err)
	defer func() { _ = successor.Close() }()
	conn := dial(t, address, "")
	in := bufio.NewReader(conn)
	asked := func() bool { // to close the connection
		send(t, conn, request)
		response, err := http.ReadResponse(in, nil)
		return err != nil || response.Close
	}
	if asked() {
		t.Error("the server drains before SIGTERM")
	}
	fdtest.Must(t, syscall.Kill(os.Getpid(), syscall.SIGTERM))
	fdtest.Eventually(t, "the drain has begun", asked)
	if err := successor.Ready(patient(t)); err == nil {
		t.Error("a successor has taken over")
	}
	close(leave)
	returnsNil(t, returned)
}

// A stream of events ends with its server, and the client then has one from the successor.
func TestOnDrainEndsStreams(t *testing.T) {
	const streams = 20
	upgrades := 3
	if os.Getenv("SCM_HANDOVER") == "full" {
		upgrades = 10
	}
	for _, c := range []struct {
		protocol string
		tls      bool
	}{{"HTTP/1.1", false}, {"HTTP/1.1", true}, {"HTTP/2", false}, {"HTTP/2", true}} {
		t.Run(fmt.Sprintf("%s, TLS %v", c.protocol, c.tls), func(t *testing.T) {
			path := filepath.Join(fdtest.ShortDir(t), "socket")
			var called atomic.Int64
			var last chan error
			start := func(version int) (address string) {
				ending, end := context.WithCancel(context.Background())
				server := &http.Server{
					Protocols: protocols(c.protocol),
					Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
						w.Header().Set("Connection", "close")
						_, _ = fmt.Fprintln(w, version)
						_ = http.NewResponseController(w).Flush()
						<-ending.Done()
					}),
				}
				if c.tls {
					server.TLSConfig = borrow().TLS.Clone()
				}
				web := httpdrain.Endpoint{Server: server, OnDrain: func() { called.Add(1); end() }}
				last = make(chan error, 1)
				return listenAndServe(t, handover.Config{}, path, time.Hour, web, last)
			}
			scheme := "http://"
			if c.tls {
				scheme = "https://"
			}
			url := scheme + start(0)
			var clients sync.WaitGroup
			arrived := make([]atomic.Int64, upgrades+1) // streams of each version
			for range streams {
				clients.Add(1)
				go func() {
					defer clients.Done()
					transport := &http.Transport{
						Protocols: protocols(c.protocol), TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
					}
					defer transport.CloseIdleConnections()
					for version, seen := 0, -1; version < upgrades; {
						response, err := (&http.Client{Transport: transport}).Get(url)
						if err != nil {
							t.Error(err)
							return
						}
						_, err = fmt.Fscanln(response.Body, &version)
						if version <= seen {
							t.Errorf("after the stream of version %d, there is one of version %d", seen, version)
						}
						seen = version
						arrived[version].Add(1)
						if _, rest := io.Copy(io.Discard, response.Body); err != nil || rest != nil {
							t.Errorf("the stream ended with %v, %v", err, rest)
						}
						_ = response.Body.Close()
					}
				}()
			}
			for version := range upgrades + 1 {
				fdtest.Eventually(t, "each client has a stream", func() bool { return arrived[version].Load() == streams })
				predecessor := last
				if version < upgrades {
					start(version + 1)
				} else if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
					t.Error(err)
				}
				returnsNil(t, predecessor)
			}
			clients.Wait()
			if n := called.Load(); n != int64(upgrades+1) {
				t.Errorf("OnDrain was called %d times", n)
			}
		})
	}
}

// The server is plain, although ConfigureServer of x/net/http2 has set its TLSConfig.
func TestListenAndServeLogsBeforeItReturns(t *testing.T) {
	path := filepath.Join(fdtest.ShortDir(t), "socket")
	returned := make(chan error, 1)
	logged := false
	config := handover.Config{Logger: slog.New(logs(func(line string) {
		if line == "httpdrain: clients were disconnected" {
			select {
			case <-returned:
			case <-time.After(100 * time.Millisecond): // ListenAndServe has had time to return
				logged = true
			}
		}
	}))}
	server := &http.Server{
		TLSConfig:    &tls.Config{NextProtos: []string{"h2"}},
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){"h2": func(*http.Server, *tls.Conn, http.Handler) {}},
		Handler:      http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
	}
	web := httpdrain.Endpoint{Server: server}
	conn := dial(t, listenAndServe(t, config, path, time.Millisecond, web, returned), request)
	if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil { // and the client keeps its connection
		t.Fatal(err)
	}
	p, err := handover.Start(patient(t), path)
	fdtest.Must(t, err)
	defer func() { _ = p.Close() }()
	fdtest.Must(t, p.Ready(patient(t)))
	if err := <-returned; err != nil || !logged {
		t.Errorf("ListenAndServe returned %v; logged before: %v", err, logged)
	}
}

func TestListenAndServeReturnsNilOnSIGTERMBeforeReady(t *testing.T) {
	path := filepath.Join(fdtest.ShortDir(t), "socket")
	p, err := handover.Start(patient(t), path) // and Ready is not called
	fdtest.Must(t, err)
	defer func() { _ = p.Close() }()
	config := handover.Config{Logger: slog.New(logs(func(line string) {
		if strings.Contains(line, "waiting for the process") {
			_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
		}
	}))}
	web := httpdrain.Endpoint{Name: "web", Network: "tcp", Address: "127.0.0.1:0", Server: &http.Server{}}
	fdtest.Must(t, httpdrain.ListenAndServe(config, path, time.Second, web))
}

func TestDrainErrorsThatConcernNoClientDoNotMentionThem(t *testing.T) {
	l, _ := listen(t)
	s := httpdrain.New(&http.Server{})
	began := make(chan bool)
	served := ends(t, func() error { return s.Serve(failsToClose{l, began}) })
	<-began
	var logged []string
	s.DrainAndLog(patient(t), slog.New(logs(func(line string) { logged = append(logged, line) })))
	<-served
	if !slices.Equal(logged, []string{"httpdrain: the drain failed"}) {
		t.Errorf("logged %q", logged)
	}
}

type failsToClose struct {
	net.Listener
	began chan bool
}

func (l failsToClose) Accept() (net.Conn, error) { close(l.began); return l.Listener.Accept() }
func (l failsToClose) Close() error              { return errors.Join(l.Listener.Close(), syscall.EIO) }
