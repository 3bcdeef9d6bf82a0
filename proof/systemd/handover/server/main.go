//go:build linux

// Command server is the server of the units: an HTTP server that is replaced as docs/howto-handover.md says, on SIGHUP or by
// another process with the same SOCKET.
//
//	server SOCKET NETWORK ADDRESS
//
// It answers a request with its process ID at once, and with "done" when the request's body has ended.
//
// If SOCKET is in the directory DIR and the file DIR.does exists, the words in it are the differences of the new version that
// the driver has installed. The server then writes its process ID to the file DIR.pid. It writes the error of an upgrade to the
// file DIR.error.
//
//	fail        it exits with an error before Ready
//	crash       it exits with an error after Ready
//	eat         it allocates memory until the kernel kills it before Ready
//	wait        it calls Ready when DIR.pid has been removed
//	add:NETWORK:ADDRESS
//	            it has another listener
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/handover"
	"github.com/scm-rights/scm/handover/httpdrain"
	"github.com/scm-rights/scm/wire"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix(fmt.Sprintf("server %d: ", os.Getpid()))
	if len(os.Args) != 4 {
		log.Fatal("usage: server SOCKET NETWORK ADDRESS")
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		log.Fatal(err)
	}
}

func run(path, network, address string) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, unix.SIGHUP)
	config := handover.Config{Logger: slog.Default()}
	p, err := config.Start(ctx, path)
	if err != nil {
		return err
	}
	defer func() { p.Fail(err) }()
	l, err := p.Listen(ctx, "web", network, address)
	if err != nil {
		return err
	}
	listeners := []net.Listener{l}
	dir := filepath.Dir(path)
	does, err := os.ReadFile(dir + ".does")
	if err == nil {
		err = os.WriteFile(dir+".pid", []byte(strconv.Itoa(os.Getpid())), 0o644)
	} else if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return err
	}
	words := strings.Fields(string(does))
	for _, word := range words {
		l, err := change(ctx, p, dir, word)
		if err != nil {
			return err
		}
		if l != nil {
			listeners = append(listeners, l)
		}
	}
	server := httpdrain.New(newServer())
	if err := p.Ready(ctx); err != nil {
		return err
	}
	if slices.Contains(words, "crash") {
		os.Exit(1)
	}
	go keepWatchdog()
	go func() { drain(server, await(ctx, p, hangup, dir+".error")) }()
	served := make(chan error)
	for _, l := range listeners {
		go func() { served <- server.Serve(l) }()
	}
	for range listeners {
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			return err
		}
	}
	return nil
}

// await returns when the server is to end. The result says how long it may drain. Errors of upgrades are written to a file.
func await(ctx context.Context, p *handover.Process, hangup <-chan os.Signal, file string) context.Context {
	for {
		select {
		case <-hangup:
			go func() {
				if err := p.Upgrade(ctx, nil); err != nil {
					log.Print(err)
					_ = os.WriteFile(file, []byte(err.Error()), 0o644)
				}
			}()
		case <-p.Replaced():
			return ctx // SIGTERM ends the drain
		case <-ctx.Done():
			_ = p.Close()
			return context.Background()
		}
	}
}

func drain(server *httpdrain.Server, until context.Context) {
	limit := time.Hour
	if until.Done() == nil {
		limit = time.Second // the service stops
	}
	ctx, cancel := context.WithTimeout(until, limit)
	defer cancel()
	_ = server.Drain(ctx)
}

// change does what the word says. It returns an additional listener, or nil.
func change(ctx context.Context, p *handover.Process, dir, word string) (net.Listener, error) {
	name, rest, _ := strings.Cut(word, ":")
	switch name {
	case "fail":
		return nil, errors.New("this version fails")
	case "eat":
		// Of the processes of the unit, the kernel kills the one with the most memory.
		for {
			page := make([]byte, 1<<20)
			for i := 0; i < len(page); i += os.Getpagesize() {
				page[i] = 1
			}
			eaten = append(eaten, page)
		}
	case "wait":
		var err error
		for err == nil && ctx.Err() == nil {
			time.Sleep(10 * time.Millisecond)
			_, err = os.Stat(dir + ".pid")
		}
		return nil, nil
	case "crash":
		return nil, nil // later
	case "add":
		network, address, _ := strings.Cut(rest, ":")
		return p.Listen(ctx, "added", network, address)
	}
	return nil, fmt.Errorf("unknown word %q", word)
}

var eaten [][]byte

func newServer() *http.Server {
	server := &http.Server{Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		_ = control.EnableFullDuplex() // HTTP/2 always is
		_, _ = fmt.Fprintln(w, os.Getpid())
		if r.Header.Get("Hold") != "" {
			_ = control.Flush()
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		_, _ = fmt.Fprintln(w, "done")
	})
	return server
}

// keepWatchdog reports to systemd that this process works, if the unit has WatchdogSec=.
func keepWatchdog() {
	interval, err := strconv.Atoi(os.Getenv("WATCHDOG_USEC"))
	if pid := os.Getenv("WATCHDOG_PID"); err != nil || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return
	}
	manager, err := wire.DialNotify()
	if err != nil {
		log.Print(err)
		return
	}
	for {
		if err := wire.Notify.Send(manager, "WATCHDOG=1"); err != nil {
			log.Print(err)
		}
		time.Sleep(time.Duration(interval) * time.Microsecond / 3)
	}
}
