package programs

import (
	"slices"
	"sync"

	"github.com/scm-rights/scm/cmd/scm/internal/relay"
)

// A Fault changes the descriptors in the messages of clients. Its methods may be called at the same time.
type Fault struct {
	name     string
	extra    *Marker // what it has added
	replaced *Marker // what it has passed instead of the client's own

	mu       sync.Mutex
	clients  map[int]bool // that have sent a message
	carried  int          // descriptors that the clients have sent
	added    int
	messages int // to which descriptors were added
	swapped  int
}

// NewFault returns one of the Faults, which the caller must close.
func NewFault(name string) (f *Fault, err error) {
	f = &Fault{name: name, clients: map[int]bool{}}
	if f.extra, err = NewMarker(); err == nil {
		f.replaced, err = NewMarker()
	}
	return f, err
}

// Close closes the files that the fault has passed on.
func (f *Fault) Close() {
	f.extra.Close()
	f.replaced.Close()
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
		extra = relay.MaxFDs
	case f.name == "opath":
		f.swapped += len(m.FDs)
		m.FDs = slices.Repeat([]int{f.replaced.path}, len(m.FDs))
	}
	extra = min(extra, relay.MaxFDs-len(m.FDs))
	f.added += extra
	f.messages += min(extra, 1)
	m.FDs = append(m.FDs, slices.Repeat([]int{f.extra.fd}, extra)...)
}
