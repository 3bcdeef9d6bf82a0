package programs

import (
	"slices"
	"sync"

	"github.com/scm-rights/scm/cmd/scm/internal/relay"
)

// A Fault changes the descriptors in the messages of clients. Its methods may be called at the same time.
type Fault struct {
	*Marker // what it has added, or passed instead of the client's own
	name    string

	mu       sync.Mutex
	clients  map[int]bool // that have sent a message
	added    int
	messages int // to which descriptors were added
	swapped  int
}

// NewFault returns one of the Faults, which the caller must close.
func NewFault(name string) (*Fault, error) {
	m, err := NewMarker()
	return &Fault{Marker: m, name: name, clients: map[int]bool{}}, err
}

// ToServer changes a message. It is the function of that name in a relay.
func (f *Fault) ToServer(m *relay.Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	first := !f.clients[m.Client]
	f.clients[m.Client] = true
	extra := 0
	switch {
	case f.name == "extra" && len(m.FDs) > 0, f.name == "extra-all":
		extra = 1
	case f.name == "many" && (len(m.FDs) > 0 || first):
		extra = relay.MaxFDs
	case f.name == "opath":
		f.swapped += len(m.FDs)
		m.FDs = slices.Repeat([]int{f.path}, len(m.FDs))
	}
	extra = min(extra, relay.MaxFDs-len(m.FDs))
	f.added += extra
	f.messages += min(extra, 1)
	m.FDs = append(m.FDs, slices.Repeat([]int{f.fd}, extra)...)
}
