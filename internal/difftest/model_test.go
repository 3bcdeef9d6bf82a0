//go:build cgo && linux

package difftest

import (
	"errors"
	"flag"
	"fmt"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// chosen choices are rapid's, so that it can make them simpler.
type chosen struct{ *rapid.T }

func (c chosen) pick(n int) int { return rapid.IntRange(0, n-1).Draw(c.T, "choice") }

var (
	modelledOps = []op{send, recv, send, recv, writeFD, readFD, sendBatch, recvBatch, closeNumber, setOption, closeAll, fill}

	modelledLengths = []int{1, 0, 2, 3, 8, 100, 1000}
	modelledFlags   = []int{0, 0, unix.MSG_PEEK, unix.MSG_TRUNC, unix.MSG_DONTWAIT, unix.MSG_WAITALL, unix.MSG_PEEK | unix.MSG_TRUNC}
)

// modelled is a step of which the model knows what comes of it.
func (c *chooser) modelled() step {
	s := step{op: oneOf(c, modelledOps), sock: oneOf(c, c.socks[:])}
	outgoing := func() message {
		m := message{buffers: c.buffers(modelledLengths), fds: make([]int, c.fdCount()), unpadded: oneIn(c, 8)}
		for i := range m.fds {
			// The last of the files is a socket.
			m.fds[i] = c.file(i % (len(c.files) - 1))
			if i < 3 {
				m.fds[i] = c.file(c.pick(len(c.files) - 1))
			}
		}
		if len(m.fds) > 0 && oneIn(c, 12) {
			m.fds[c.pick(len(m.fds))] = oneOf(c, hostileNumbers)
		}
		return m
	}
	incoming := func() message {
		m := message{buffers: c.buffers(modelledLengths), fds: make([]int, c.fdCount())}
		if oneIn(c, 4) {
			m.cred = &notCome
		}
		return m
	}
	switch s.op {
	case closeNumber:
		s.sock = c.closable()
	case setOption:
		s.option, s.value = unix.SO_PASSCRED, c.pick(2)
	case fill:
		s.value = c.pick(4)
	case writeFD:
		s.msgs = []message{outgoing()}
		s.msgs[0].buffers = []int{oneOf(c, modelledLengths)}
		s.msgs[0].fds = []int{c.file(c.pick(len(c.files) - 1))}
		s.msgs[0].unpadded = false
	case readFD:
		s.msgs = []message{{buffers: []int{oneOf(c, modelledLengths)}}}
	case send:
		s.msgs = []message{outgoing()}
	case recv:
		s.msgs, s.flags = []message{incoming()}, oneOf(c, modelledFlags)
	case sendBatch:
		s.msgs = make([]message, c.pick(4))
		for i := range s.msgs {
			s.msgs[i] = outgoing()
		}
	case recvBatch:
		s.msgs, s.flags = make([]message, c.pick(5)), oneOf(c, modelledFlags)
		for i := range s.msgs {
			s.msgs[i] = incoming()
		}
	}
	return s
}

// TestModel holds both backends against a model of the kernel. rapid makes what
// fails smaller. SCM_DIFFTEST_CALLS scales it, SCM_DIFFTEST_SEED is its seed.
func TestModel(t *testing.T) {
	checks := max(100, environment(t, "SCM_DIFFTEST_CALLS", 100_000)/100)
	seed := environment(t, "SCM_DIFFTEST_SEED", 1)
	for name, value := range map[string]string{"checks": strconv.Itoa(checks), "seed": strconv.Itoa(seed), "nofailfile": "true"} {
		if err := flag.Set("rapid."+name, value); err != nil {
			t.Fatal(err)
		}
	}
	p := makePair(t)
	defer func() { p.close() }()
	steps := rapid.Custom(func(t *rapid.T) step {
		c := chooser{chosen{t}, p.layout}
		return c.modelled()
	})
	calls := 0
	rapid.Check(t, func(t *rapid.T) {
		s := &sequence{typ: oneOf(chosen{t}, types)}
		// rapid's slices are short.
		for range 6 {
			s.steps = append(s.steps, rapid.SliceOfN(steps, 0, 16).Draw(t, "steps")...)
		}
		outcomes, different, err := p.run(s)
		switch {
		case errors.Is(err, errElsewhere):
			t.Skip(err)
		case err != nil:
			t.Fatal(err)
		case different != "":
			p.close()
			if p, err = newPair(); err != nil {
				t.Fatal(err)
			}
			t.Fatalf("the backends differ, %s\n%s", s.words(p.layout), different)
		}
		k := newKernel(p.layout, s.typ, p.worlds[0].limited)
		for i := range s.steps {
			if k.unsure {
				break
			}
			want, got := k.do(&s.steps[i], i), outcomes[i+1]
			got.ready = nil
			if d := p.difference(&got, &want); d != "" {
				t.Fatalf("the kernel and the backends are not what the model says, %sstep %d, backends against model: %s", s.words(p.layout), i+1, d)
			}
		}
		calls += s.calls()
	})
	if !t.Failed() {
		fmt.Printf("difftest: %d calls, 0 differ from the model\n", calls)
	}
}
