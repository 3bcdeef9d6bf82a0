//go:build linux

package difftest

import (
	"fmt"
	"hash/fnv"
	"os"

	"github.com/scm-rights/scm/internal/msg"
)

// An outcome holds the results of a step.
type outcome struct {
	n        int
	fd       int32 // of readFD
	err      error
	panicked string
	msg      msg.Message // of a call
	payload  []byte      // of a receive: all buffers, with the guard after each

	// Changes of the descriptor table.
	opened []opening
	closed []int
	ready  []int16 // the events that poll reports for each descriptor from the first free one on
}

type opening struct {
	fd int
	held
}

// outcomeWords describes everything in an outcome that is the same in each run.
func (w *world) outcomeWords(o *outcome) string {
	text := fmt.Sprintf("%d %d %v %q", o.n, o.fd, o.err, o.panicked)
	m := &o.msg
	text += fmt.Sprintf("; %d %d %#x %d %v %q", m.N, m.NFD, m.Flags, m.NameLen, m.FDs, m.Name)
	if m.Cred != nil {
		text += " " + credWords(m.Cred)
	}
	if m.PIDFD != nil {
		text += fmt.Sprint(" ", *m.PIDFD)
	}
	hash := fnv.New64a()
	_, _ = hash.Write(o.payload)
	text += fmt.Sprintf("; %x; closed %v; opened", hash.Sum64(), o.closed)
	for _, opened := range o.opened {
		if opened.fd < firstFile {
			continue // the process itself and the world have opened it
		}
		opened.inode.Dev, opened.inode.Ino = 0, 0
		text += w.openingWords(opened)
	}
	return text + fmt.Sprintf("; %x", o.ready)
}

func (l *layout) openingWords(o opening) string {
	text := fmt.Sprintf(" %d=%s", o.fd, l.holding(o.held))
	if o.inherits {
		text += " (not close-on-exec)"
	}
	return text
}

func credWords(c *msg.Cred) string {
	if int(c.PID) == os.Getpid() {
		return fmt.Sprintf("own %d %d", c.UID, c.GID)
	}
	return fmt.Sprintf("%d %d %d", c.PID, c.UID, c.GID)
}

func (l *layout) holding(h held) string {
	switch id := int(h.identity); {
	case id < 0:
		return fmt.Sprintf("unknown file %v", h.inode)
	case id < len(l.files):
		return l.files[id]
	default:
		return l.label(l.socks[id-len(l.files)])
	}
}
