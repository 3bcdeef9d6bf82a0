//go:build cgo && linux && !purego && !scm_purego

package difftest

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/csrc"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/ownthread"
	"github.com/scm-rights/scm/internal/pure"
	"github.com/scm-rights/scm/proof/must"
)

var backends = [2]Backend{
	{"csrc", csrc.WriteFD, csrc.ReadFD, csrc.Send, csrc.Recv},
	{"pure", pure.WriteFD, pure.ReadFD, pure.Send, pure.Recv},
}

// environment returns an integer from the environment, or a default.
func environment(t *testing.T, name string, byDefault int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return byDefault
	}
	n, err := strconv.Atoi(text)
	fdtest.Must(t, err)
	return n
}

// TestWalk runs random sequences until they have made SCM_DIFFTEST_CALLS calls. SCM_DIFFTEST_SEED is the seed.
func TestWalk(t *testing.T) {
	want := environment(t, "SCM_DIFFTEST_CALLS", 100_000)
	seed := environment(t, "SCM_DIFFTEST_SEED", 1)
	p := makeTwins(t)
	defer p.close()
	began := time.Now()
	calls, elsewhere := 0, 0
	i := -1
	for s := range random(uint64(seed), p.layout) {
		if i++; calls >= want {
			break
		}
		different, err := p.run(s)
		switch {
		case errors.Is(err, errElsewhere):
			elsewhere++
			continue
		case err != nil:
			t.Fatalf("sequence %d of seed %d: %v", i, seed, err)
		case different != "":
			t.Logf("difftest: %d calls and then a difference, in sequence %d of seed %d", calls, i, seed)
			p.report(t, s, different)
		}
		calls += s.calls()
	}
	// Package identity reads this.
	t.Logf("%d calls, 0 differ, %.0f calls a second", calls, float64(calls)/time.Since(began).Seconds())
	if elsewhere > 0 {
		t.Logf("%d sequences were abandoned: %v", elsewhere, errElsewhere)
	}
}

// The descriptors that other threads of the process open do not change what a recorded walk prints.
func TestOtherThreadsOpenFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	walk := func() (printed string) {
		var out strings.Builder
		var err error
		ownthread.Run(func() { err = must.Try(func() { Walk(&out, backends[1], func(int) {}, 1, 300) }) })
		fdtest.Must(t, err)
		return out.String()
	}
	alone := walk()
	stop, stopped := make(chan bool), make(chan bool)
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if fd, err := unix.Open(".", unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
				_ = unix.Close(fd)
			}
		}
	}()
	beside := walk()
	close(stop)
	<-stopped
	if beside != alone {
		t.Error("a walk printed something else while another thread opened and closed a descriptor")
	}
}

var typeWords = map[int]string{unix.SOCK_STREAM: "stream", unix.SOCK_DGRAM: "dgram", unix.SOCK_SEQPACKET: "seqpacket"}

// words describes a sequence so that a person can repeat it.
func (s *sequence) words(l *layout) string {
	var b strings.Builder
	fmt.Fprintf(&b, "on a pair of %s sockets a, b and a pair c, d", typeWords[s.typ])
	if s.named {
		b.WriteString(", with those addresses")
	}
	b.WriteString(", non-blocking:\n")
	for i := range s.steps {
		fmt.Fprintf(&b, "%4d. %s\n", i+1, s.steps[i].words(l))
	}
	return b.String()
}

// report fails the test with a difference, after it has removed steps that do not matter.
func (p *twins) report(t *testing.T, s *sequence, different string) {
	t.Helper()
	if differs(s) == "" {
		t.Fatalf("the backends differed once, and not again, %s\n%s", s.words(p.layout), different)
	}
	s, different = shrink(s, different)
	t.Fatalf("the backends differ, %s\n%s", s.words(p.layout), different)
}

// makeTwins calls newTwins for a test, which has to close the twins. Without the permission for it, the test is
// skipped, or fails if CI=true.
func makeTwins(t testing.TB) *twins {
	t.Helper()
	p, err := newTwins()
	switch {
	case errors.Is(err, unix.EPERM):
		fdtest.Missing(t, "a permission", err.Error())
	case err != nil:
		t.Fatal(err)
	}
	return p
}
