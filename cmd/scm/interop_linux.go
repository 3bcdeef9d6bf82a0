package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/peers"
	"github.com/scm-rights/scm/interop"
	"github.com/scm-rights/scm/interop/catalogue"
	built "github.com/scm-rights/scm/interop/peers"
	"github.com/spf13/cobra"
)

func interopCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "interop",
		Short: "Play scenarios of descriptor passing with peers in many languages",
	}
	cmd.AddCommand(runCommand(), listCommand(), peerCommand())
	return cmd
}

// A selection is what run and list have in common: the peers and the cases.
type selection struct {
	list     string   // --peers
	programs []string // --peer
	expect   string   // --expect
	run      []string
	skip     []string
	builtin  bool
}

func (s *selection) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.list, "peers", "", "`FILE` with a list of peers, as \"make peers\" writes it")
	f.StringArrayVar(&s.programs, "peer", nil, "a peer of your own: `NAME=COMMAND`")
	f.StringVar(&s.expect, "expect", "", "`FILE` of expected failures, in place of the one inside")
	f.StringArrayVar(&s.run, "run", nil, "only cases that match `PATTERN`: GROUP/ID/TYPE/SENDER/RECEIVER, with * ** {a,b}")
	f.StringArrayVar(&s.skip, "skip", nil, "no cases that match `PATTERN`")
	f.BoolVar(&s.builtin, "builtin", true, "play with the peers inside this program")
}

// A plan is a selection, resolved.
type plan struct {
	peers   []*interop.Peer // that can play
	missing []*interop.Peer // and those that cannot
	runner  *interop.Peer
	cases   []interop.Case
	expect  *interop.Expectations
}

func (s *selection) plan() (*plan, error) {
	filter, err := s.filter()
	if err != nil {
		return nil, err
	}
	p := &plan{}
	if err := s.findPeers(p); err != nil {
		return nil, err
	}
	if p.runner, err = interop.Runner(); err != nil {
		return nil, broken(fmt.Errorf("the runner's own peer: %w", err))
	}
	scenarios, err := catalogue.Scenarios()
	if err != nil {
		return nil, broken(err)
	}
	expected, err := s.expectations()
	if err != nil {
		return nil, err
	}
	if p.expect, err = interop.Expect(expected, scenarios, p.peers, p.missing, p.runner); err != nil {
		return nil, fmt.Errorf("expected failures: %w", err)
	}
	p.cases, err = filter.Apply(interop.Plan(scenarios, p.peers, p.runner))
	return p, err
}

func (s *selection) filter() (f interop.Filter, err error) {
	for _, from := range []struct {
		texts []string
		to    *[]interop.Pattern
	}{{s.run, &f.Run}, {s.skip, &f.Skip}} {
		for _, text := range from.texts {
			p, err := interop.ParsePattern(text)
			if err != nil {
				return f, err
			}
			*from.to = append(*from.to, p)
		}
	}
	return f, nil
}

func (s *selection) expectations() ([]interop.Expectation, error) {
	if s.expect == "" {
		list, err := catalogue.Expected()
		if err != nil {
			return nil, broken(err)
		}
		// Those of peers that this run was not given are not about it.
		return list, nil
	}
	text, err := os.ReadFile(s.expect)
	if err != nil {
		return nil, err
	}
	list, err := interop.ParseExpectations(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.expect, err)
	}
	return list, nil
}

// findPeers lists the peers, and starts each once to ask what it can do.
func (s *selection) findPeers(p *plan) error {
	var all []*interop.Peer
	seen := map[string]bool{interop.RunnerName: true}
	add := func(peer *interop.Peer) error {
		if seen[peer.Name] {
			return fmt.Errorf("two peers are named %q", peer.Name)
		}
		seen[peer.Name] = true
		all = append(all, peer)
		return nil
	}
	for _, text := range s.programs {
		name, command, ok := strings.Cut(text, "=")
		if !ok || name == "" || command == "" || strings.ContainsAny(name, "/*?[]{}, ") {
			return fmt.Errorf("--peer %q is not NAME=COMMAND", text)
		}
		if err := add(interop.Program(name, "/bin/sh", "-c", "exec "+command)); err != nil {
			return err
		}
	}
	if s.list != "" {
		list, err := built.ReadList(s.list)
		if err != nil {
			return err
		}
		for _, b := range list {
			peer := interop.Program(b.Name, b.Command...)
			if b.Why != "" {
				peer = interop.Missing(b.Name, b.Why)
			}
			if err := add(peer); err != nil {
				return err
			}
		}
	}
	if s.builtin {
		self, err := os.Executable()
		if err != nil {
			return broken(err)
		}
		for _, lib := range peers.All() {
			if !seen[lib.Name] {
				all = append(all, interop.Program(lib.Name, self, "interop", "peer", strings.TrimSuffix(lib.Name, "-"+scm.Backend)))
			}
		}
	}
	var wrong []error
	for _, peer := range all {
		if peer.Why != "" {
			p.missing = append(p.missing, peer)
			continue
		}
		if err := peer.Probe(interop.DefaultTimeout); err != nil {
			wrong = append(wrong, fmt.Errorf("peer %s: %w", peer.Name, err))
			continue
		}
		p.peers = append(p.peers, peer)
	}
	// The names of all that the source has, so that what is expected of those
	// that are not here is set aside and not taken for a slip.
	for _, name := range built.Names() {
		if !seen[name] && !hasPeer(p.peers, name) {
			p.missing = append(p.missing, interop.Missing(name, "not given"))
		}
	}
	if len(wrong) > 0 {
		return broken(errors.Join(wrong...))
	}
	return nil
}

func hasPeer(list []*interop.Peer, name string) bool {
	for _, p := range list {
		if p.Name == name {
			return true
		}
	}
	return false
}
