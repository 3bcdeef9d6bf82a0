//go:build unix

package migrating

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/scm-rights/scm/handover"
)

var alive *os.File

func Example_tableflip() {
	waitForPredecessor := func(p *handover.Process) (wait func(), err error) {
		predecessor := p.File("alive")
		r, w, err := os.Pipe()
		if err == nil {
			alive = w // global, because the garbage collector closes files that are not in use
			err = p.Keep("alive", r)
		}
		wait = func() {
			if predecessor != nil {
				_, _ = io.Copy(io.Discard, predecessor) // it is never written to, so this returns when it ends
			}
		}
		return wait, err
	}

	dir, err := os.MkdirTemp("", "migrating")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	// Each of these Processes represents a program.
	start := func() (p *handover.Process, wait func()) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		p, err := handover.Start(ctx, filepath.Join(dir, "socket"))
		if err != nil {
			log.Fatal(err)
		}
		if wait, err = waitForPredecessor(p); err != nil {
			log.Fatal(err)
		}
		if err := p.Ready(ctx); err != nil {
			log.Fatal(err)
		}
		return p, wait
	}
	first, wait := start()
	wait() // it has no predecessor
	firstAlive := alive
	second, wait := start()
	<-first.Replaced()
	exited := make(chan struct{})
	go func() {
		wait()
		close(exited)
	}()
	select {
	case <-exited:
		fmt.Println("too early")
	default:
	}
	closeAll(first, firstAlive)
	<-exited
	fmt.Println("the predecessor has exited")
	closeAll(second, alive)
	// Output:
	// the predecessor has exited
}
