//go:build cgo && linux && !purego && !scm_purego

package difftest

import "slices"

// differs runs a sequence in new twins, and describes the first difference.
func differs(s *sequence) string {
	p, err := newTwins()
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

// shrink removes steps from a sequence while its outcomes differ. It returns the sequence and the difference.
func shrink(s *sequence, different string) (*sequence, string) {
	for again := true; again; {
		again = false
		for n := len(s.steps); n > 0; n /= 2 {
			for at := len(s.steps) - n; at >= 0; at -= n {
				smaller := &sequence{s.typ, s.named, slices.Delete(slices.Clone(s.steps), at, at+n)}
				if d := differs(smaller); d != "" {
					s, different, again = smaller, d, true
				}
			}
		}
	}
	return s, different
}
