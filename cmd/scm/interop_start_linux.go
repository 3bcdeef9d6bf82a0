package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/peers"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
	"github.com/spf13/cobra"
)

// probe starts each peer once, to ask what it can do.
func (p *plan) probe(ctx context.Context, timeout time.Duration) error {
	var wrong []error
	for _, peer := range p.peers {
		if err := process.ProbeContext(ctx, peer, timeout); err != nil {
			wrong = append(wrong, fmt.Errorf("peer %s: %w", peer.Name, err))
		}
		if err := interrupted(ctx); err != nil {
			return err
		}
	}
	if len(wrong) > 0 {
		return broken(errors.Join(wrong...))
	}
	return nil
}

// resolve starts each peer, which takes longer than to answer.
func (in inputs) resolve(ctx context.Context, timeout time.Duration) (*plan, error) {
	p := in.plan
	if err := p.probe(ctx, max(timeout, process.DefaultTimeout)); err != nil {
		return nil, err
	}
	runner, err := process.Runner()
	if err != nil {
		return nil, broken(fmt.Errorf("the runner's own peer: %w", err))
	}
	p.runner = runner
	// A list of expected failures, or of patterns, may be long: a signal ends that, too.
	err = during(ctx, 0, func() error {
		expect, err := scenario.Expect(in.expected, witness.ThisKernel(), in.scenarios, p.peers, p.missing, runner)
		if err != nil {
			return fmt.Errorf("expected failures: %w", err)
		}
		p.expect = expect
		return in.choose()
	})
	if cut := interrupted(ctx); cut != nil {
		return nil, cut
	}
	return p, err
}

// started is the plan of list, for which each peer is started once.
func (in inputs) started() (*plan, error) {
	ctx, stop := untilSignal(true)
	defer stop()
	defer adopt()()
	return in.resolve(ctx, process.DefaultTimeout)
}

// insidePeers are the peers inside this program.
func insidePeers() (inside []*scenario.Peer, err error) {
	self, err := os.Executable()
	for _, lib := range peers.All() {
		inside = append(inside, scenario.Program(lib.Name, self, "interop", "peer", strings.TrimSuffix(lib.Name, "-"+scm.Backend)))
	}
	return inside, err
}

// linuxCommands are those that start peers.
func linuxCommands() []*cobra.Command {
	return []*cobra.Command{runCommand(), replayCommand(), smokeCommand(), peerCommand()}
}
