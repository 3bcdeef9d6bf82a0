package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/scenario"

	"github.com/scm-rights/scm/interop/bounded"
	"github.com/scm-rights/scm/interop/catalogue"
	"github.com/scm-rights/scm/interop/display"
	built "github.com/scm-rights/scm/interop/peers"
	"github.com/spf13/cobra"
)

func interopCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "interop",
		Short: "Play scenarios of descriptor passing with peers in many languages",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(linuxCommands()...)
	cmd.AddCommand(compareCommand(), expectCommand(), listCommand(), showCommand(), copyCommand(), checkCatalogueCommand())
	return cmd
}

// A selection is what run and list have in common: the peers and the cases.
type selection struct {
	list     string   // --peers
	programs []string // --peer
	expect   string   // --expect
	run      []string
	skip     []string
	shard    once
	folder   string // --catalogue
	builtin  bool
}

// A fileName is the value of a flag. Set refuses an empty name, as of a shell variable that is
// not set, and a second name, because only one of the two would count.
type fileName string

func (n *fileName) Set(s string) error {
	if s == "" {
		return errors.New("an empty name")
	}
	if *n != "" {
		return errors.New("it is given twice")
	}
	*n = fileName(s)
	return nil
}

func (n *fileName) String() string { return string(*n) }
func (n *fileName) Type() string   { return "string" }

// once is a flag that cannot be given again: of two parts, one alone would be played.
type once struct {
	text  string
	given bool
}

func (o *once) Set(s string) error {
	if o.given {
		return errors.New("it is given twice")
	}
	o.text, o.given = s, true
	return nil
}

func (o *once) String() string { return o.text }
func (o *once) Type() string   { return "string" }

func (s *selection) flags(cmd *cobra.Command) {
	s.peerFlags(cmd)
	f := cmd.Flags()
	f.Var((*fileName)(&s.expect), "expect", "`FILE` of expected failures, in place of the one inside")
	f.StringArrayVar(&s.run, "run", nil, "only cases that match `PATTERN`: GROUP/ID/TYPE/SENDER/RECEIVER, with * ** {a,b}; or any of those in a file, @FILE")
	f.StringArrayVar(&s.skip, "skip", nil, "no cases that match `PATTERN`, or any of those in @FILE")
	f.Var(&s.shard, "shard", "only part `I/N` of the cases; which one a case is in depends on its name alone")
	f.Var((*fileName)(&s.folder), "catalogue", "play the scenarios of `DIR`, in place of those inside; they act with your rights, on the network too; nothing is expected to fail there without --expect DIR/expected.txt")
}

// peerFlags are those that say who the peers are.
func (s *selection) peerFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.Var((*fileName)(&s.list), "peers", "`FILE` with a list of peers, as \"make peers\" writes it")
	f.StringArrayVar(&s.programs, "peer", nil, "a peer of your own: `NAME=COMMAND`; sh runs \"exec COMMAND\": a variable needs env A=b, a list of commands sh -c, and exec before the last; it inherits no descriptor of the runner's, as <&9 would need")
	f.BoolVar(&s.builtin, "builtin", true, "play with the peers inside this program")
}

// A plan is a selection, resolved.
type plan struct {
	peers   []*scenario.Peer // that can play
	missing []*scenario.Peer // and those that cannot
	runner  *scenario.Peer
	cases   []scenario.Case
	expect  *scenario.Expectations
	inside  map[string]bool // the peers inside this program
	awaited map[string]bool // the peers of which a run is to have a verdict
}

// Inputs are what a selection has in files, and says of them.
type inputs struct {
	filter    scenario.Filter
	shard     scenario.Shard
	expected  []scenario.Expectation
	scenarios []*scenario.Scenario
	folder    bool  // the scenarios are not those inside
	plan      *plan // with its peers alone
}

// read reads all files of a selection. Signals are caught only after it: one of the files
// may be a FIFO without a writer, and a signal must end the program that waits for it.
func (s *selection) read() (in inputs, err error) {
	if in.filter, err = s.filter(); err != nil {
		return in, err
	}
	if s.shard.text != "" {
		if in.shard, err = scenario.ParseShard(s.shard.text); err != nil {
			return in, err
		}
	}
	if in.expected, err = s.expectations(); err != nil {
		return in, err
	}
	if err := s.checkNames(); err != nil {
		return in, err
	}
	in.folder = s.folder != ""
	in.plan = &plan{}
	if err := s.findPeers(in.plan); err != nil {
		return in, err
	}
	in.scenarios, err = s.scenarios()
	return in, err
}

// choose makes the cases of the plan out of its peers.
func (in inputs) choose() (err error) {
	whole := scenario.Plan(in.scenarios, in.plan.peers, in.plan.runner)
	if in.plan.cases, err = in.filter.Apply(whole); err != nil {
		return err
	}
	in.plan.cases = in.shard.Apply(in.plan.cases)
	in.plan.awaited = in.awaited(whole)
	return nil
}

// awaited lists the peers of which a run is to have a verdict: all that have cases, or, if
// only some cases are played, those that can play none of the whole plan. The peers inside
// need not be able to play a scenario of somebody else's.
func (in inputs) awaited(whole []scenario.Case) map[string]bool {
	plays := map[string]bool{} // those that have cases, and whether they can play any
	for _, c := range whole {
		plays[c.A.Name] = plays[c.A.Name] || c.OutOfReach(scenario.RoleA) == ""
		plays[c.B.Name] = plays[c.B.Name] || c.OutOfReach(scenario.RoleB) == ""
	}
	some := len(in.filter.Run)+len(in.filter.Skip) > 0 || in.shard != scenario.Shard{}
	awaited := map[string]bool{}
	for _, peer := range in.plan.peers {
		can, has := plays[peer.Name]
		awaited[peer.Name] = has && !(some && can) && !(in.folder && in.plan.inside[peer.Name])
	}
	return awaited
}

func (s *selection) scenarios() ([]*scenario.Scenario, error) {
	if s.folder != "" {
		files, err := catalogue.Open(s.folder)
		if err != nil {
			return nil, err
		}
		list, err := catalogue.Load(files)
		if err == nil && len(list) == 0 {
			err = fmt.Errorf("there is no GROUP/ID.txt in %s", s.folder)
		}
		return list, err
	}
	list, err := catalogue.Scenarios()
	if err != nil {
		return nil, broken(err)
	}
	return list, nil
}

func (s *selection) filter() (f scenario.Filter, err error) {
	for _, from := range []struct {
		texts []string
		to    *[]scenario.Pattern
	}{{s.run, &f.Run}, {s.skip, &f.Skip}} {
		for _, text := range from.texts {
			patterns, err := patterns(text)
			if err != nil {
				return f, err
			}
			*from.to = append(*from.to, patterns...)
		}
	}
	return f, nil
}

// patterns reads a pattern, or those of a file.
func patterns(text string) (list []scenario.Pattern, err error) {
	file, ok := strings.CutPrefix(text, "@")
	if !ok {
		p, err := scenario.ParsePattern(text)
		return []scenario.Pattern{p}, err
	}
	lines, err := bounded.ReadFile(file, bounded.Text)
	if err != nil {
		return nil, err
	}
	number := 0
	for line := range strings.Lines(string(lines)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		p, err := scenario.ParsePattern(line)
		if err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", file, number, err)
		}
		list = append(list, p)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: no pattern", file)
	}
	return list, nil
}

func (s *selection) expectations() ([]scenario.Expectation, error) {
	if s.expect == "" && s.folder != "" {
		return nil, nil // nobody has said what is expected of them
	}
	if s.expect == "" {
		list, err := catalogue.Expected()
		if err != nil {
			return nil, broken(err)
		}
		return list, nil
	}
	text, err := bounded.ReadFile(s.expect, bounded.Text)
	if err != nil {
		return nil, err
	}
	list, err := scenario.ParseExpectations(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.expect, err)
	}
	return list, nil
}

// checkNames refuses a --peer with the name of a peer of the source while the expected
// failures inside are in use: those are about that peer, and would hide failures of
// this one.
func (s *selection) checkNames() error {
	if s.expect != "" || s.folder != "" {
		return nil
	}
	known := built.Names()
	inside, err := insidePeers()
	if err != nil {
		return broken(err)
	}
	for _, peer := range inside {
		known = append(known, peer.Name)
	}
	for _, text := range s.programs {
		if name, _, _ := strings.Cut(text, "="); slices.Contains(known, name) {
			return fmt.Errorf("--peer %q has the name of a peer of the source, whose expected failures would hide its own: "+
				"give it another name, or a file of its own with --expect", name)
		}
	}
	return nil
}

// findPeers lists the peers: those that can be started, and the others with the
// reason.
func (s *selection) findPeers(p *plan) error {
	p.inside = map[string]bool{}
	seen := map[string]bool{scenario.RunnerName: true, scenario.KernelName: true}
	add := func(peer *scenario.Peer) error {
		if seen[peer.Name] {
			return fmt.Errorf("two peers are named %q", peer.Name)
		}
		seen[peer.Name] = true
		if peer.Why != "" {
			p.missing = append(p.missing, peer)
		} else {
			p.peers = append(p.peers, peer)
		}
		return nil
	}
	for _, text := range s.programs {
		name, command, ok := strings.Cut(text, "=")
		if !ok || !display.IsName(name) || command == "" {
			return fmt.Errorf("--peer %q is not NAME=COMMAND", text)
		}
		if err := add(scenario.Program(name, "/bin/sh", "-c", "exec "+command)); err != nil {
			return err
		}
	}
	if s.list != "" {
		list, err := built.ReadList(s.list)
		if err != nil {
			return err
		}
		for _, b := range list {
			peer := scenario.Program(b.Name, b.Command...)
			if b.Why != "" {
				peer = scenario.Missing(b.Name, b.Why)
			}
			if err := add(peer); err != nil {
				return err
			}
		}
	}
	inside, err := insidePeers()
	if err != nil {
		return broken(err)
	}
	for _, peer := range inside {
		if !s.builtin {
			peer = scenario.Missing(peer.Name, notGiven)
		}
		if !seen[peer.Name] {
			p.inside[peer.Name] = true
			_ = add(peer) // its name is not taken
		}
	}
	// The names of all that the source has, so that what is expected of those
	// that are not here is set aside and not taken for a slip.
	for _, name := range built.Names() {
		if !seen[name] {
			_ = add(scenario.Missing(name, notGiven))
		}
	}
	return nil
}

// notGiven is why a peer that there could be is not there.
const notGiven = "not given"
