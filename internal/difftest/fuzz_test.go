//go:build cgo && linux

package difftest

import (
	"errors"
	"testing"
)

// maxSteps is the maximum number of steps of a fuzzer's sequence.
const maxSteps = 48

// FuzzBackends runs the sequence that the bytes decode to. testdata/fuzz has the inputs that the fuzzer kept.
func FuzzBackends(f *testing.F) {
	p := makePair(f)
	defer func() { p.close() }()
	f.Fuzz(func(t *testing.T, data []byte) {
		d := &decoded{data}
		c := chooser{d, p.layout}
		s := c.sequence(0)
		for len(d.data) > 0 && len(s.steps) < maxSteps {
			s.steps = append(s.steps, c.step())
		}
		different, err := p.run(s)
		switch {
		case errors.Is(err, errElsewhere):
			t.Skip(err)
		case err != nil:
			t.Fatal(err)
		case different != "":
			defer func() {
				p.close()
				if p, err = newPair(); err != nil {
					panic(err)
				}
			}()
			p.report(t, s, different)
		}
	})
}
