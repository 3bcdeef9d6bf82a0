package interop

import (
	"context"
	"time"
)

// Probe starts the peer and greets it.
func (p *Peer) Probe(timeout time.Duration) error {
	return p.ProbeContext(context.Background(), timeout)
}

// ProbeContext is Probe, cut short when the context is done.
func (p *Peer) ProbeContext(ctx context.Context, timeout time.Duration) error {
	starting.Lock()
	defer starting.Unlock()
	proc, err := p.start(nil, User{}, nil)
	if err != nil {
		return err
	}
	defer proc.close()
	p.Hello, err = proc.greet(ctx, timeout)
	return err
}
