package programs

import (
	"slices"
	"sync"

	"github.com/scm-rights/scm/cmd/scm/internal/relay"
	"golang.org/x/sys/unix"
)

// A Fault changes the descriptors in the messages of clients. Its methods may be called at the same time.
type Fault struct {
	name     string
	extra    *Marker // what it has added
	replaced *Marker // what it has passed instead of the client's own
	path     int     // a descriptor of replaced

	mu      sync.Mutex
	clients map[int]bool // that have sent a message
	carried int          // descriptors that the clients have sent
	added   int
	swapped int
}

// NewFault returns one of the Faults, which the caller must close.
func NewFault(name string) (f *Fault, err error) {
	f = &Fault{name: name, path: -1, clients: map[int]bool{}}
	if f.extra, err = NewMarker(); err != nil {
		return nil, err
	}
	if f.replaced, err = NewMarker(); err == nil {
		f.path, err = f.replaced.OpenPath()
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Close closes the files that the fault has passed on.
func (f *Fault) Close() {
	f.extra.Close()
	if f.replaced != nil {
		f.replaced.Close()
	}
	if f.path >= 0 {
		unix.Close(f.path)
		f.path = -1
	}
}

// ToServer changes a message. It is the function of that name in a relay.
func (f *Fault) ToServer(m *relay.Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	first := !f.clients[m.Client]
	f.clients[m.Client] = true
	f.carried += len(m.FDs)
	extra := 0
	switch {
	case f.name == "extra" && len(m.FDs) > 0, f.name == "extra-all":
		extra = 1
	case f.name == "many" && (len(m.FDs) > 0 || first):
		extra = maxFDs
	case f.name == "opath":
		f.swapped += len(m.FDs)
		m.FDs = slices.Repeat([]int{f.path}, len(m.FDs))
	}
	extra = min(extra, maxFDs-len(m.FDs))
	f.added += extra
	m.FDs = append(m.FDs, slices.Repeat([]int{f.extra.FD()}, extra)...)
}
