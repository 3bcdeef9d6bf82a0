//go:build linux

// Command server is the server of the units, a [webtest.Server]:
//
//	server SOCKET NETWORK ADDRESS
//
// If USUAL is set, it calls httpdrain.ListenAndServe instead, and ignores DIR.does. A stream of /events begins with the
// process ID, and ends when the drain begins.
//
// If SOCKET is in the directory DIR and the file DIR.does exists, the words in it are the differences of the new
// version that the driver has installed. The server then writes its process ID to the file DIR.pid. It writes the error
// of an upgrade to the file DIR.error.
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
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/scm-rights/scm/handover"
	"github.com/scm-rights/scm/handover/httpdrain"
	"github.com/scm-rights/scm/internal/webtest"
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

func run(path, network, address string) error {
	if os.Getenv("USUAL") != "" {
		server := webtest.NewHTTP()
		mux := http.NewServeMux()
		mux.Handle("/", server.Handler)
		ending, end := context.WithCancel(context.Background())
		mux.HandleFunc("/events", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close")
			_, _ = fmt.Fprintln(w, os.Getpid())
			_ = http.NewResponseController(w).Flush()
			<-ending.Done()
		})
		server.Handler = mux
		web := httpdrain.Endpoint{Name: "web", Network: network, Address: address, Server: server, OnDrain: end}
		return httpdrain.ListenAndServe(handover.Config{}, path, time.Hour, web)
	}
	dir := filepath.Dir(path)
	var words []string
	server := webtest.Server{
		Config: handover.Config{Logger: slog.Default()},
		HTTP:   webtest.NewHTTP(),
		Prepare: func(ctx context.Context, p *handover.Process) ([]net.Listener, error) {
			l, err := p.Listen(ctx, "web", network, address)
			if err != nil {
				return nil, err
			}
			listeners := []net.Listener{l}
			does, err := os.ReadFile(dir + ".does")
			if errors.Is(err, os.ErrNotExist) {
				return listeners, nil
			}
			if err == nil {
				err = os.WriteFile(dir+".pid", []byte(strconv.Itoa(os.Getpid())), 0o644)
			}
			if err != nil {
				return nil, err
			}
			words = strings.Fields(string(does))
			for _, word := range words {
				added, err := change(ctx, p, dir, word)
				if err != nil {
					return nil, err
				}
				if added != nil {
					listeners = append(listeners, added)
				}
			}
			return listeners, nil
		},
		Serving: func() {
			if slices.Contains(words, "crash") {
				os.Exit(1)
			}
			go keepWatchdog()
		},
		Failed: func(err error) {
			log.Print(err)
			_ = os.WriteFile(dir+".error", []byte(err.Error()), 0o644)
		},
	}
	return server.Run(path)
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
