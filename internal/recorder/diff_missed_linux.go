package recorder

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Uncompared is the error that two records are the same as far as they go: some
// memory could not be read, or is more than is recorded, or descriptors could not be
// looked up.
type Uncompared struct {
	Bytes     uint64
	first     string // the memory that has the first of them
	Files     int    // descriptors, of each call
	firstFile string // the call that has the first of them, and why
}

func (u *Uncompared) Error() string {
	var parts []string
	if u.Files > 0 {
		parts = append(parts, fmt.Sprintf("%d descriptors that could not be looked up, the first of them of %s", u.Files, u.firstFile))
	}
	if u.Bytes > 0 {
		parts = append(parts, fmt.Sprintf("%d bytes that could not be recorded, the first of them of %s", u.Bytes, u.first))
	}
	return "not compared: " + strings.Join(parts, "; ")
}

// count counts the descriptors of a call that could not be looked up, and the bytes that
// were to be compared and were not recorded.
func (cmp *comparison) count() {
	a, b := cmp.callA, cmp.callB
	cmp.countFiles()
	if a.Errno == unix.EFAULT {
		return // the kernel could not read them either
	}
	for i := range a.Entry {
		x := &a.Entry[i]
		n := max(cmp.lacking(a, x), cmp.lacking(b, counterpart(b.Entry, x)))
		if n > 0 && cmp.missed.Bytes == 0 {
			cmp.missed.first = fmt.Sprintf("%s of call %d of process %d (%s)", a.title(x), cmp.d.Call, cmp.d.Process, nameOf(a))
		}
		cmp.missed.Bytes += n
	}
}

func (cmp *comparison) countFiles() {
	if cmp.Describe != nil || cmp.Numbers {
		return
	}
	most := 0
	for _, c := range []*Call{cmp.callA, cmp.callB} {
		n := 0
		for i := range c.Files {
			if c.Files[i].Errno == 0 {
				continue
			}
			n++
			if cmp.missed.firstFile == "" {
				cmp.missed.firstFile = fmt.Sprintf("call %d of process %d (%s): %s", cmp.d.Call, cmp.d.Process, nameOf(c), errnoName(c.Files[i].Errno))
			}
		}
		most = max(most, n)
	}
	cmp.missed.Files += most
}

// lacking is how many bytes of the memory count and were not recorded, at the entry or
// at the exit.
func (cmp *comparison) lacking(c *Call, entry *Blob) uint64 {
	if entry == nil {
		return 0
	}
	exit := &Blob{Size: entry.Size}
	if len(c.Exit) > 0 {
		exit = counterpart(c.Exit, entry)
	}
	counts, countsAfter := cmp.counted(c, entry)
	return max(missing(entry, counts), missing(exit, countsAfter))
}

// counted is how many bytes of the memory count at the entry and at the exit. Of a
// payload that is sent it is what the kernel has taken; where the call has failed or has
// not ended, what is recorded of a buffer that can be read.
func (cmp *comparison) counted(c *Call, b *Blob) (entry, exit uint64) {
	done := b.Msg < c.done()
	switch {
	case b.What == Buffer && c.sig.timeout(b.Arg):
		entry = b.Size
	case !slices.Contains(cmp.Said, b.What) && (b.What != Payload || c.sig.receives()):
		entry, exit = b.Size, b.Size
	case b.What == Buffer:
		entry = uint64(len(b.Data)) // of these calls nothing is said to be the same
	case b.What == Payload && done:
		exit = c.filled(b)
	case c.sig.receives() && !done:
	case b.What == Payload:
		entry = min(b.Size, defaultLimit)
	case !c.sig.receives():
		entry = b.Size
	case b.What == Control:
		exit = min(b.Size, c.header().uint(find(c.Exit, Header, b.Msg, 0).data(), "msg_controllen"))
	case b.What == Address:
		exit = min(b.Size, c.header().uint(find(c.Exit, Header, b.Msg, 0).data(), "msg_namelen"))
	}
	if len(c.Exit) == 0 {
		exit = 0
	}
	return entry, exit
}
