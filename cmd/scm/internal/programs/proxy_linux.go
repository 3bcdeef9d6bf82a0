package programs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/scm-rights/scm/cmd/scm/internal/relay"
)

// ProxyOptions say which server to test, and with which client. Both commands are for /bin/sh, with the socket in
// $SOCK.
type ProxyOptions struct {
	Address string // of the server's socket
	Listen  string // the address of the proxy's socket, or "" for a path in a new directory
	Server  string
	Client  string

	Settle        time.Duration // how long the server may take to close a descriptor
	Timeout       time.Duration // for the server to start
	ClientTimeout time.Duration // for the client to end
}

// A proxyTest tests a server.
type proxyTest struct {
	ProxyOptions
	target
}

// ProxyTest runs a client of a server through a relay, once for each of the Faults, and finds out what the server
// keeps, whether it has ended, and whether it still serves clients. An error means that it could not find that out for
// each fault. It then returns the trials, unless already the first one failed.
func ProxyTest(ctx context.Context, o ProxyOptions) ([]Trial, error) {
	server := PokeOptions{Address: o.Address, Args: []string{"/bin/sh", "-c", o.Server}, Timeout: o.Timeout}
	p := &proxyTest{o, target{PokeOptions: server, ctx: ctx, waitLimit: o.Timeout}}
	var trials []Trial
	var failed error
	verdicts, skipped := 0, ""
	for _, name := range Faults {
		t := &Trial{What: name, Skipped: cutShort}
		if failed == nil {
			began := time.Now()
			var err error
			if t, err = p.trial(name); err != nil {
				failed = fmt.Errorf("%s: %w", name, err)
			}
			t.Seconds = time.Since(began).Seconds()
		}
		if failed != nil && name == FaultNone {
			return nil, failed
		}
		trials = append(trials, *t)
		if name != FaultNone && t.Skipped == "" {
			verdicts++
		} else {
			skipped = t.Skipped
		}
	}
	if failed == nil && verdicts == 0 {
		failed = fmt.Errorf("no fault has a verdict: %s", skipped)
	}
	return trials, failed
}

// trial injects a fault. A server that then ends, or no longer serves clients, must do so each time, and not without
// it. With an error, the trial has only what is certain.
func (p *proxyTest) trial(name string) (*Trial, error) {
	t, err := p.once(name)
	switch {
	case err != nil:
		return &Trial{What: name, Skipped: cutShort}, err
	case name == FaultNone || len(t.Findings) == 0 || t.Findings[0].Check == CheckLeak:
		return t, nil
	}
	var again *Trial
	if _, err = p.once(FaultNone); err == nil {
		again, err = p.once(name)
	}
	switch {
	case err != nil:
		t.withdraw("scm could not repeat that")
	case len(again.Findings) == 0 || again.Findings[0].Check != t.Findings[0].Check:
		t.withdraw("not each time")
	}
	return t, err
}

// withdraw keeps only the leaks of a trial, because what the server did first is not certain.
func (t *Trial) withdraw(why string) {
	once := "the server " + t.Findings[0].Text + ", but " + why
	t.Findings = slices.DeleteFunc(t.Findings, func(f Finding) bool { return f.Check != CheckLeak })
	if len(t.Findings) > 0 {
		t.Notes = append(t.Notes, once)
	} else {
		t.Skipped = once
	}
}

// once starts the server, runs the client without and with the proxy, and looks at the server after all connections
// have been closed.
func (p *proxyTest) once(name string) (*Trial, error) {
	t := &Trial{What: name}
	defer p.stop()
	if err := p.direct(); err != nil {
		return nil, err
	}
	f, err := NewFault(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	clientErr, err := p.through(f)
	switch {
	case err != nil:
		return nil, err
	case clientErr == nil:
	case name == FaultNone:
		return nil, fmt.Errorf("the client fails with the proxy, although that changes nothing: %w", clientErr)
	default:
		t.Notes = append(t.Notes, "the client fails: "+firstLine(clientErr))
	}
	if err := p.look(t, f); err != nil {
		return nil, err
	}
	if name == FaultNone && len(t.Findings) > 0 {
		return nil, fmt.Errorf("the server %s, although the proxy changes nothing", t.Findings[0].Text)
	}
	if name != FaultNone && f.added+f.swapped == 0 && t.Skipped == "" {
		t.Skipped = "the client sends no descriptor with which the fault could be injected"
	}
	return t, nil
}

// direct starts the server and runs the client without the proxy. Then the server has opened what it opens for its
// first client only. If it has ended without a failure, it is started again.
func (p *proxyTest) direct() error {
	if err := p.ensure(); err != nil {
		return err
	}
	err := p.runClient(p.address)
	if err != nil {
		return fmt.Errorf("the client fails without the proxy: %w", err)
	}
	p.rest() // it may be about to end
	if p.Type, err = SocketType(p.address); err == nil {
		return nil
	}
	if !ExitedWith0(p.ended(err)) {
		return p.explain(fmt.Errorf("after the client has run without the proxy: %w", err))
	}
	p.stop()
	if err := p.ensure(); err != nil {
		return err
	}
	p.Type, err = SocketType(p.address)
	return err
}

// through runs the client through a relay that injects the fault, and closes all connections.
func (p *proxyTest) through(f *Fault) (clientErr, err error) {
	address := p.Listen
	if address == "" {
		dir, err := os.MkdirTemp("", "scm-proxy-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		address = filepath.Join(dir, "socket")
		err = os.Chmod(dir, 0o755) // for clients of other users
		if err != nil {
			return nil, err
		}
	}
	network, err := Network(p.address, p.Type)
	if err != nil {
		return nil, err
	}
	l, err := listenFor(network, address)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	var mu sync.Mutex
	var failed error
	r := relay.Relay{Type: p.Type, Connect: p.address, ToServer: f.ToServer, Drain: p.Timeout}
	r.Failed = func(err error) {
		mu.Lock()
		defer mu.Unlock()
		failed = err
	}
	ctx, cancel := context.WithCancel(p.ctx)
	served := make(chan error, 1)
	go func() { served <- r.Serve(ctx, l) }()
	clientErr = p.runClient(address)
	cancel()
	err = <-served
	switch {
	case failed == nil && clientErr == nil && r.Clients == 0 && err == nil:
		err = errors.New("the client never connects to $SOCK, the socket of the proxy")
	case failed == nil:
	case clientErr == nil:
		clientErr = fmt.Errorf("proxy: %w", failed)
	default:
		clientErr = fmt.Errorf("%w (proxy: %w)", clientErr, failed)
	}
	return clientErr, err
}

// listenFor creates the proxy's socket, to which any client may connect: the relay connects to the server as the same
// user.
func listenFor(network, address string) (*net.UnixListener, error) {
	if err := CheckAddress(&address); err != nil {
		return nil, fmt.Errorf("%w; set it with --listen", err)
	}
	l, err := net.ListenUnix(network, &net.UnixAddr{Net: network, Name: address})
	if err == nil && os.Geteuid() == 0 && !strings.HasPrefix(address, "@") {
		err = os.Chmod(address, 0o777)
	}
	return l, err
}

// runClient runs the client, and ends all its processes.
func (p *proxyTest) runClient(address string) error {
	client, err := Start([]string{"/bin/sh", "-c", p.Client}, address, nil)
	if err != nil {
		return err
	}
	defer client.Stop()
	ctx, cancel := context.WithTimeoutCause(p.ctx, p.ClientTimeout, fmt.Errorf("it is still running after %s", p.ClientTimeout))
	defer cancel()
	for client.firstEnded() == nil && ctx.Err() == nil {
		time.Sleep(5 * time.Millisecond)
	}
	err = client.firstEnded()
	switch {
	case err == nil:
		err = context.Cause(ctx)
	case ExitedWith0(err):
		return nil
	}
	if output := client.Output(); output != "" {
		err = fmt.Errorf("%w; it has printed:\n%s", err, output)
	}
	return err
}

// look finds out what the server keeps, and whether it still serves clients.
func (p *proxyTest) look(t *Trial, f *Fault) error {
	settle := func() ([]Holding, error) {
		held, err := p.server.Settle(p.ctx, []*Marker{f.Marker}, p.Settle, false, func() {})
		return held[f.Marker], err
	}
	held, err := settle()
	switch {
	case err != nil:
	case p.hasEnded(t):
		if len(t.Findings) == 0 && f.added > 0 {
			held, t.Skipped = nil, "the server has ended without a failure, so what it keeps cannot be seen; use a client that does not end it"
		}
	default:
		if err := p.runClient(p.address); err != nil {
			p.await(p.Timeout, p.Timeout, p.server.Idle) // it may be ending
			if !p.hasEnded(t) {
				t.Find(CheckRefuses, "no longer serves the client: "+firstLine(err))
			}
		}
		ended := p.server.Ended()
		// the client may have made it close them
		if len(held) > 0 && (ended == nil || ExitedWith0(ended)) {
			held, err = settle()
		}
	}
	if err := errors.Join(err, context.Cause(p.ctx)); err != nil {
		return err
	}
	if n := min(Count(held), f.swapped); n > 0 {
		text := "the server keeps %d of %d replaced descriptors, which it may store on purpose"
		t.Notes = append(t.Notes, fmt.Sprintf(text, n, f.swapped)+p.extent(held, 0))
	}
	if n := min(Count(held), f.added); n > 0 {
		text := fmt.Sprintf("keeps %d of %d extra descriptors after the end of the connections", n, f.added)
		t.Find(CheckLeak, text+p.extent(held, f.messages))
	}
	if len(t.Findings) > 0 {
		t.Output = p.server.Output()
	}
	return nil
}

// hasEnded reports whether the server has ended, and adds a finding if it should not have.
func (p *proxyTest) hasEnded(t *Trial) bool {
	ended := p.server.Ended()
	if ended != nil && !ExitedWith0(ended) {
		t.Find(CheckCrash, (&failure{ended: ended}).String())
	}
	return ended != nil
}

// firstLine returns the first line of an error, for a line of the report.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return strings.TrimSuffix(line, "; it has printed:")
}
