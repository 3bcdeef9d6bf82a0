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

// environment returns an integer from the environment, or a default.
func environment(t *testing.T, name string, byDefault int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return byDefault
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// calls returns the number of calls that a sequence makes of each backend.
func (s *sequence) calls() (n int) {
	for i := range s.steps {
		if s.steps[i].op.isCall() {
			n++
		}
	}
	return n
}

// TestWalk runs random sequences until they have made SCM_DIFFTEST_CALLS calls. SCM_DIFFTEST_SEED is the seed.
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
		different, err := p.run(s)
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
	// tools/prove/identity parses this line.
	fmt.Printf("difftest: %d calls, 0 differ\n", calls)
	t.Logf("%.0f calls a second", float64(calls)/time.Since(began).Seconds())
	if elsewhere > 0 {
		t.Logf("%d sequences were abandoned: %v", elsewhere, errElsewhere)
	}
}
