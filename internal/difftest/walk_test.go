//go:build cgo && linux

package difftest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// environment is a number of the environment, or what it is otherwise.
func environment(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// calls counts those that a sequence makes of each backend.
func (s *sequence) calls() (n int) {
	for i := range s.steps {
		if s.steps[i].op.isCall() {
			n++
		}
	}
	return n
}

// TestWalk does sequences at random until there were enough calls.
// SCM_DIFFTEST_CALLS says how many, SCM_DIFFTEST_SEED where to begin.
func TestWalk(t *testing.T) {
	want := environment(t, "SCM_DIFFTEST_CALLS", 100_000)
	seed := environment(t, "SCM_DIFFTEST_SEED", 1)
	p := makePair(t)
	defer p.close()
	began := time.Now()
	calls, elsewhere := 0, 0
	for i := uint64(0); calls < want; i++ {
		c := chooser{random{rand.New(rand.NewPCG(uint64(seed), i))}, p.layout}
		s := c.sequence(8 + c.pick(40))
		_, different, err := p.run(s)
		switch {
		case errors.Is(err, errElsewhere):
			elsewhere++
			continue
		case err != nil:
			t.Fatal(err)
		case different != "":
			t.Logf("difftest: %d calls and then a difference, in sequence %d of seed %d", calls, i, seed)
			p.report(t, s, different)
		}
		calls += s.calls()
	}
	// A line of its own, for who counts.
	fmt.Printf("difftest: %d calls, 0 differ\n", calls)
	t.Logf("%.0f calls a second", float64(calls)/time.Since(began).Seconds())
	if elsewhere > 0 {
		t.Logf("%d sequences were given up: %v", elsewhere, errElsewhere)
	}
}
