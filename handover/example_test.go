//go:build unix

package handover_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/handover"
)

// A TCP server that sends back what it receives. On SIGHUP it starts its program again, which may be a new version.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)

	p, err := handover.Start(ctx, "/run/echo/handover.sock")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	l, err := p.Listen(ctx, "echo", "tcp", ":7000")
	if err != nil {
		log.Fatal(err)
	}
	if err := p.Ready(ctx); err != nil {
		log.Fatal(err) // the predecessor continues
	}

	var clients sync.WaitGroup
	clients.Add(1)
	go func() {
		defer clients.Done()
		for {
			conn, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				log.Fatal(err)
			}
			clients.Add(1)
			go func() {
				defer clients.Done()
				defer func() { _ = conn.Close() }()
				_, _ = bufio.NewReader(conn).WriteTo(conn)
			}()
		}
	}()
	for {
		select {
		case <-hangup:
			go upgrade(ctx, p)
		case <-p.Replaced():
			stop() // SIGTERM now ends the process, even if clients stay connected
			_ = l.Close()
			clients.Wait()
			return
		case <-ctx.Done():
			_ = l.Close()
			return
		}
	}
}

// upgrade gives a successor a minute to start serving.
func upgrade(ctx context.Context, p *handover.Process) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := p.Upgrade(ctx, nil); err != nil {
		log.Print(err)
	}
}

// This server cannot be replaced during a migration. It accepts neither other users nor descriptors on its Unix
// sockets.
func ExampleConfig() {
	var migrating atomic.Bool
	sameUser := func(conn *scm.Conn) error {
		cred, err := conn.PeerCred()
		if err == nil && cred.UID != os.Geteuid() {
			err = fmt.Errorf("user %d is not allowed", cred.UID)
		}
		return err
	}
	config := handover.Config{
		Timeout: 5 * time.Minute, // it reads a large file before it is ready
		Check: func(successor *scm.Conn) error {
			if migrating.Load() {
				return errors.New("wait until the migration is complete")
			}
			return sameUser(successor)
		},
		Unix:   scm.Config{Mode: 0o600, Check: sameUser, Expect: &scm.Expect{}},
		Logger: slog.Default(),
	}
	p, err := config.Start(context.Background(), "/run/app/handover.sock")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = p.Close() }()
}

// keepAlive is a listener with keep-alive options.
type keepAlive struct{ net.Listener }

func (l keepAlive) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Minute}) // fails if the client has gone
	}
	return conn, err
}

// Each process wraps the listener, because a successor receives only the socket.
func ExampleProcess_Listen() {
	ctx := context.Background()
	p, err := handover.Start(ctx, "/run/app/handover.sock")
	if err != nil {
		log.Fatal(err)
	}
	l, err := p.Listen(ctx, "web", "tcp", ":8080")
	if err != nil {
		log.Fatal(err)
	}
	l = keepAlive{l}
	if err := p.Ready(ctx); err != nil {
		log.Fatal(err)
	}
	go func() { log.Fatal(http.Serve(l, nil)) }()
}

// A successor that cannot read its configuration reports the error to its predecessor.
func ExampleProcess_Fail() {
	run := func(ctx context.Context) (err error) {
		p, err := handover.Start(ctx, "/run/app/handover.sock")
		if err != nil {
			return err
		}
		defer func() { p.Fail(err) }()
		if _, err := os.ReadFile("/etc/app/config"); err != nil {
			return err // Upgrade returns it in the predecessor
		}
		return p.Ready(ctx)
	}
	_ = run
}

// A server removes the temporary files that a crash has left, unless its predecessor still uses them.
func ExampleProcess_First() {
	p, err := handover.Start(context.Background(), "/run/app/handover.sock")
	if err != nil {
		log.Fatal(err)
	}
	if p.First() {
		_ = os.RemoveAll("/var/lib/app/tmp")
	}
}

// A server passes a file with its state to each successor.
func ExampleProcess_Keep() {
	p, err := handover.Start(context.Background(), "/run/app/handover.sock")
	if err != nil {
		log.Fatal(err)
	}
	state := p.File("state")
	if state == nil { // the first process
		if state, err = os.OpenFile("/var/lib/app/state", os.O_RDWR|os.O_CREATE, 0o600); err != nil {
			log.Fatal(err)
		}
	}
	if err := p.Keep("state", state); err != nil {
		log.Fatal(err)
	}
}

// A DNS server has a socket for packets.
func ExampleProcess_ListenPacket() {
	ctx := context.Background()
	p, err := handover.Start(ctx, "/run/dns/handover.sock")
	if err != nil {
		log.Fatal(err)
	}
	queries, err := p.ListenPacket(ctx, "dns", "udp", ":53")
	if err != nil {
		log.Fatal(err)
	}
	if err := p.Ready(ctx); err != nil {
		log.Fatal(err)
	}
	go func() {
		<-p.Replaced()
		_ = queries.Close() // at once: the successor receives the queries
	}()
}

// A server starts its successor with another argument, and ends the attempt after a minute.
func ExampleProcess_Upgrade() {
	start := func(p *handover.Process) error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		cmd := exec.Command("/usr/local/bin/app", "--config", "/etc/app/new.conf") // not CommandContext
		cmd.Stderr = os.Stderr
		err := p.Upgrade(ctx, cmd)
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("the new version did not become ready: %w", err)
		}
		return err
	}
	_ = start
}
