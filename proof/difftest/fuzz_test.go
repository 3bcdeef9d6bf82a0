//go:build cgo && linux && !purego && !scm_purego

package difftest

import (
	"errors"
	"testing"
)

// decoded choices are read from bytes. After the end of the bytes, every choice is the first option.
type decoded struct{ data []byte }

func (d *decoded) pick(n int) int {
	v := 0
	for span := 1; span < n; span <<= 8 {
		if len(d.data) == 0 {
			return 0
		}
		v = v<<8 | int(d.data[0])
		d.data = d.data[1:]
	}
	return v % n
}

// maxSteps is the maximum number of steps of a fuzzer's sequence.
const maxSteps = 48

// FuzzBackends runs the sequence that the bytes decode to. testdata/fuzz has the inputs that the fuzzer kept.
func FuzzBackends(f *testing.F) {
	p := makeTwins(f)
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
				if p, err = newTwins(); err != nil {
					panic(err)
				}
			}()
			p.report(t, s, different)
		}
	})
}
