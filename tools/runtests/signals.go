//go:build linux

package main

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long parts may keep running after an interrupt.
var patience = 20 * time.Second

// watch prints the progress of the parts and forwards signals until all have ended.
func (r *run) watch(signals <-chan os.Signal, ended <-chan struct{}) {
	every := 10 * time.Second
	if r.screen.terminal {
		every = time.Second
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	var kill <-chan time.Time
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
			r.readRecords()
			r.screen.progress(r.progress())
		case s := <-signals:
			if s == unix.SIGPIPE && r.interrupted != nil {
				continue // each printed line raises one
			}
			if r.interrupted == nil {
				r.readRecords()
				kill = time.After(patience)
			}
			r.interrupt(s)
		case <-kill:
			r.interrupt(unix.SIGKILL)
		}
	}
}

// interrupt sends a signal to every part.
func (r *run) interrupt(s os.Signal) {
	r.Lock()
	defer r.Unlock()
	if r.interrupted == nil {
		r.interrupted = s
		r.cancel()
		r.screen.printf("%s  %v: ending the tests", r.clock(), s)
	}
	n, _ := s.(unix.Signal)
	if n == unix.SIGPIPE {
		n = unix.SIGTERM
	}
	for _, p := range r.parts {
		if p.group != 0 {
			_ = unix.Kill(-p.group, n)
		}
		if n == unix.SIGKILL {
			// A process that has left the group can keep them open.
			for _, output := range p.outputs {
				output.Close()
			}
		}
	}
	r.changed.Broadcast()
}

// interruption describes which parts were interrupted, and which had not begun.
func (r *run) interruption() string {
	var during, before []string
	for _, p := range r.parts {
		switch {
		case p.cut:
			during = append(during, p.Name)
		case !p.ended:
			before = append(before, p.Name)
		}
	}
	text := "interrupted"
	if len(during) > 0 {
		text += " during " + strings.Join(during, ", ")
	}
	if len(before) > 0 {
		text += " before " + strings.Join(before, ", ")
	}
	return text
}
