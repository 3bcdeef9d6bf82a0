//go:build cgo && linux && !purego && !scm_purego

package difftest

import "slices"

// differs runs a sequence in a new pair of worlds, and describes the first difference.
func differs(backends [2]Backend, s *sequence) string {
	p, err := newPair(backends)
	if err != nil {
		return ""
	}
	defer p.close()
	d, err := p.run(s)
	if err != nil {
		return ""
	}
	return d
}

// shrink simplifies a sequence while its outcomes differ. It returns the sequence and the difference.
func shrink(backends [2]Backend, s *sequence, different string) (*sequence, string) {
	try := func(smaller *sequence) bool {
		d := differs(backends, smaller)
		if d != "" {
			s, different = smaller, d
		}
		return d != ""
	}
	for again := true; again; {
		again = false
		for n := len(s.steps); n > 0; n /= 2 {
			for at := len(s.steps) - n; at >= 0; at -= n {
				smaller := *s
				smaller.steps = slices.Delete(slices.Clone(s.steps), at, at+n)
				again = try(&smaller) || again
			}
		}
		for i := range s.steps {
			for _, simpler := range s.steps[i].simpler() {
				smaller := *s
				smaller.steps = slices.Clone(s.steps)
				smaller.steps[i] = simpler
				if try(&smaller) {
					again = true
					break
				}
			}
		}
		if s.named {
			smaller := *s
			smaller.named = false
			again = try(&smaller) || again
		}
	}
	return s, different
}

// simpler returns copies of the step from each of which one part is removed.
func (s *step) simpler() []step {
	if !s.op.isCall() {
		return nil
	}
	var all []step
	with := func(change func(*step)) {
		c := *s
		c.msgs = slices.Clone(s.msgs)
		change(&c)
		all = append(all, c)
	}
	if s.op == sendBatch || s.op == recvBatch {
		for n := len(s.msgs); n > 0; n /= 2 {
			for at := len(s.msgs) - n; at >= 0; at -= n {
				with(func(c *step) { c.msgs = slices.Delete(c.msgs, at, at+n) })
			}
		}
	}
	if s.flags != 0 {
		with(func(c *step) { c.flags = 0 })
	}
	isPair := s.op == writeFD || s.op == readFD
	for i, m := range s.msgs {
		if !isPair && len(m.buffers) > 1 {
			with(func(c *step) { c.msgs[i].buffers = m.buffers[:len(m.buffers)/2] })
			with(func(c *step) { c.msgs[i].buffers = m.buffers[:len(m.buffers)-1] })
		}
		for j, n := range m.buffers {
			if n > 1 && j < 10 {
				with(func(c *step) {
					c.msgs[i].buffers = slices.Clone(m.buffers)
					c.msgs[i].buffers[j] = 1
				})
			}
		}
		if !isPair && len(m.fds) > 0 {
			with(func(c *step) { c.msgs[i].fds = m.fds[:len(m.fds)/2] })
			with(func(c *step) { c.msgs[i].fds = m.fds[:len(m.fds)-1] })
		}
		if m.name != nil {
			with(func(c *step) { c.msgs[i].name = nil })
		}
		if m.cred != nil {
			with(func(c *step) { c.msgs[i].cred = nil })
		}
		if m.pidfd {
			with(func(c *step) { c.msgs[i].pidfd = false })
		}
		if m.unpadded {
			with(func(c *step) { c.msgs[i].unpadded = false })
		}
	}
	return all
}
