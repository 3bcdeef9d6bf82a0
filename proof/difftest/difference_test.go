//go:build cgo && linux && !purego && !scm_purego

package difftest

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/scm-rights/scm/internal/msg"
)

// difference describes the first difference between two outcomes, or returns "". Outcomes contain no
// addresses in memory, and both worlds use the same names for files.
func (l *layout) difference(a, b *outcome) string {
	if a.panicked != b.panicked {
		return fmt.Sprintf("panic: %q against %q", a.panicked, b.panicked)
	}
	if a.err != b.err {
		return fmt.Sprintf("error: %v against %v", words(a.err), words(b.err))
	}
	if a.n != b.n {
		return fmt.Sprintf("n: %d against %d", a.n, b.n)
	}
	if a.fd != b.fd {
		return fmt.Sprintf("descriptor: %d against %d", a.fd, b.fd)
	}
	if d := differentMessage(&a.msg, &b.msg); d != "" {
		return "message: " + d
	}
	if at := firstDifferent(a.payload, b.payload); at >= 0 {
		return fmt.Sprintf("buffers, which are %d bytes apart, at byte %d: %s against %s", guard, at, around(a.payload, at), around(b.payload, at))
	}
	if !slices.Equal(a.closed, b.closed) {
		return fmt.Sprintf("closed descriptors: %v against %v", a.closed, b.closed)
	}
	if !slices.Equal(a.opened, b.opened) {
		return fmt.Sprintf("opened descriptors: %s against %s", l.openings(a.opened), l.openings(b.opened))
	}
	if !slices.Equal(a.ready, b.ready) {
		for i := range a.ready {
			if i >= len(b.ready) || a.ready[i] != b.ready[i] {
				return fmt.Sprintf("events that poll reports for %s: %#x against %#x", l.label(l.first+i), a.ready[i:][:1], b.ready[min(i, len(b.ready)):])
			}
		}
		return "events that poll reports for the last descriptor"
	}
	return ""
}

func differentMessage(a, b *msg.Message) string {
	for _, f := range []struct {
		name string
		a, b int
	}{
		{"N", a.N, b.N}, {"NFD", a.NFD, b.NFD}, {"Flags", a.Flags, b.Flags}, {"NameLen", a.NameLen, b.NameLen},
	} {
		if f.a != f.b {
			return fmt.Sprintf("%s: %#x against %#x", f.name, f.a, f.b)
		}
	}
	if !slices.Equal(a.FDs, b.FDs) {
		return fmt.Sprintf("FDs: %v against %v", a.FDs, b.FDs)
	}
	if at := firstDifferent(a.Name, b.Name); at >= 0 {
		return fmt.Sprintf("Name, at byte %d: %q against %q", at, a.Name, b.Name)
	}
	if a.Cred != nil && *a.Cred != *b.Cred {
		return fmt.Sprintf("Cred: %+v against %+v", *a.Cred, *b.Cred)
	}
	if a.PIDFD != nil && *a.PIDFD != *b.PIDFD {
		return fmt.Sprintf("PIDFD: %d against %d", *a.PIDFD, *b.PIDFD)
	}
	return ""
}

func words(err error) string {
	if err == nil {
		return "none"
	}
	return err.Error()
}

// firstDifferent returns the index of the first byte in which a and b differ, or -1.
func firstDifferent(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// around returns the bytes at an index, in hex.
func around(b []byte, at int) string {
	return fmt.Sprintf("%x", b[min(at, len(b)):min(at+8, len(b))])
}

func (l *layout) openings(os []opening) string {
	text := fmt.Sprint(len(os))
	for i, o := range os {
		if i == 8 {
			return text + " …"
		}
		text += l.openingWords(o)
	}
	return text
}
