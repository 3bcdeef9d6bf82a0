package main

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/catalogue"
	"github.com/scm-rights/scm/interop/display"
	built "github.com/scm-rights/scm/interop/peers"
	"github.com/scm-rights/scm/interop/scenario"
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
	cmd.AddCommand(compareCommand(), expectCommand(), listCommand(), showCommand(), copyCommand(), newPeerCommand(), checkCatalogueCommand())
	return cmd
}

// A selection is what run and list have in common: the peers and the cases.
type selection struct {
	list     string   // --peers
	programs []string // --peer
	expect   string
	run      []string
	skip     []string
	shard    string
	folder   string // --catalogue
	builtin  bool
}

func (s *selection) flags(cmd *cobra.Command) {
	s.peerFlags(cmd)
	s.catalogueFlags(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&s.run, "run", nil, "only cases that match `PATTERN`: GROUP/ID/TYPE/SENDER/RECEIVER, with * ** {a,b}; "+
		"or any of those in a file, @FILE")
	f.StringArrayVar(&s.skip, "skip", nil, "no cases that match `PATTERN`, or any of those in @FILE")
	_ = cmd.RegisterFlagCompletionFunc("run", completeScenario)
	_ = cmd.RegisterFlagCompletionFunc("skip", completeScenario)
	f.StringVar(&s.shard, "shard", "", "only part `I/N` of the cases; which one a case is in depends on its name alone")
}

// peerFlags are those that say who the peers are.
func (s *selection) peerFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.list, "peers", "", "`FILE` with a list of peers, as \"make peers\" writes it")
	f.StringArrayVar(&s.programs, "peer", nil, "a peer of your own: `NAME=COMMAND`; sh runs \"exec COMMAND\": a variable needs env A=b, "+
		"a list of commands sh -c, and exec before the last; it inherits no descriptor of the runner's, as <&9 would need")
	f.BoolVar(&s.builtin, "builtin", true, "play with the peers inside this program")
}

// catalogueFlags are those that say what the scenarios are, and what is expected of them.
func (s *selection) catalogueFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.expect, "expect", "", "`FILE` of expected failures, in place of the one inside")
	f.StringVar(&s.folder, "catalogue", "", "the scenarios of `DIR`, in place of those inside; played, they act with your rights, "+
		"on the network too; nothing is expected to fail there without --expect DIR/expected.txt")
}

// A plan is a selection, resolved.
type plan struct {
	peers   []*scenario.Peer // that can play
	missing []*scenario.Peer // and those that cannot
	runner  *scenario.Peer
	inside  map[string]bool // the peers inside this program

	scenarios []*scenario.Scenario
	folder    bool // they are not those inside
	expected  []scenario.Expectation
	expect    *scenario.Expectations
	filter    scenario.Filter
	shard     scenario.Shard
	cases     []scenario.Case
	awaited   map[string]bool // the peers of which a run is to have a verdict
}

// read reads all files of a selection.
func (s *selection) read() (*plan, error) {
	p, err := s.findPeers(s.expect == "" && s.folder == "")
	if err == nil {
		p.filter.Run, err = patterns(s.run)
	}
	if err == nil {
		p.filter.Skip, err = patterns(s.skip)
	}
	if err == nil && s.shard != "" {
		p.shard, err = scenario.ParseShard(s.shard)
	}
	if err == nil {
		err = s.readScenarios(p)
	}
	return p, err
}

// readScenarios reads the scenarios, and what is expected of them.
func (s *selection) readScenarios(p *plan) (err error) {
	p.folder = s.folder != ""
	text := []byte(nil)
	if p.scenarios, text, err = s.load(); err != nil {
		return err
	}
	if p.expected, err = scenario.ParseExpectations(text); err != nil {
		return fmt.Errorf("%s: %w", s.expect, err)
	}
	return nil
}

// load reads the scenarios, and the file of expected failures as it is written. For the scenarios of
// a folder there are no expected failures without --expect.
func (s *selection) load() (list []*scenario.Scenario, expected []byte, err error) {
	if s.folder == "" {
		list, err = catalogue.Scenarios()
	} else if list, err = catalogue.Load(os.DirFS(s.folder)); err == nil && len(list) == 0 {
		err = fmt.Errorf("there is no peer/GROUP/ID.txt, kernel/GROUP/ID.txt or GROUP/ID.txt in %s", s.folder)
	}
	switch {
	case err != nil:
	case s.expect != "":
		expected, err = os.ReadFile(s.expect)
	case s.folder == "":
		expected, err = fs.ReadFile(catalogue.Files(), catalogue.ExpectedFile)
	}
	return list, expected, err
}

// patterns reads patterns, and those of files.
func patterns(texts []string) (list []scenario.Pattern, err error) {
	for _, text := range texts {
		file, ok := strings.CutPrefix(text, "@")
		if !ok {
			p, err := scenario.ParsePattern(text)
			if err != nil {
				return nil, err
			}
			list = append(list, p)
			continue
		}
		lines, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		before := len(list)
		for i, line := range strings.Split(string(lines), "\n") {
			if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			p, err := scenario.ParsePattern(line)
			if err != nil {
				return nil, fmt.Errorf("%s: line %d: %w", file, i+1, err)
			}
			list = append(list, p)
		}
		if len(list) == before {
			return nil, fmt.Errorf("%s: no pattern", file)
		}
	}
	return list, nil
}

// notGiven is the reason for a known peer that --peers does not list.
const notGiven = "not given"

// findPeers lists the peers: those that can be started, and the others with the reason. With
// expectations, those inside are in use: they are about the peers of the source, and would hide the
// failures of a --peer with the name of one.
func (s *selection) findPeers(expectations bool) (*plan, error) {
	inside, err := insidePeers()
	if err != nil {
		return nil, broken(err)
	}
	var given []*scenario.Peer
	for i, peer := range inside {
		if !s.builtin {
			inside[i] = scenario.Missing(peer.Name, notGiven)
		}
	}
	// The others of the source too, so that what is expected of them is set aside and not taken for a slip.
	known := slices.Clone(inside)
	for _, name := range built.Names() {
		known = append(known, scenario.Missing(name, notGiven))
	}
	for _, text := range s.programs {
		name, command, ok := strings.Cut(text, "=")
		switch {
		case !ok || !display.IsName(name) || command == "":
			return nil, fmt.Errorf("--peer %q is not NAME=COMMAND", text)
		case expectations && slices.ContainsFunc(known, func(p *scenario.Peer) bool { return p.Name == name }):
			return nil, fmt.Errorf("--peer %q has the name of a peer of the source, whose expected failures would hide its own: "+
				"give it another name, or a file of its own with --expect", name)
		}
		given = append(given, scenario.Program(name, "/bin/sh", "-c", "exec "+command))
	}
	if s.list != "" {
		list, err := built.ReadList(s.list)
		if err != nil {
			return nil, err
		}
		for _, b := range list {
			peer := scenario.Program(b.Name, b.Command...)
			peer.Why = b.Why
			given = append(given, peer)
		}
	}
	p := &plan{inside: map[string]bool{}}
	seen := map[string]bool{scenario.RunnerName: true, scenario.KernelName: true}
	for _, peer := range slices.Concat(given, known) {
		switch {
		case seen[peer.Name] && slices.Contains(given, peer):
			return nil, fmt.Errorf("two peers are named %q", peer.Name)
		case seen[peer.Name]:
			continue
		case peer.Why != "":
			p.missing = append(p.missing, peer)
		default:
			p.peers = append(p.peers, peer)
		}
		seen[peer.Name], p.inside[peer.Name] = true, slices.Contains(inside, peer)
	}
	return p, nil
}

// choose makes the cases of the plan out of its peers.
func (p *plan) choose() (err error) {
	whole := scenario.Plan(p.scenarios, p.peers, p.runner)
	if p.cases, err = p.filter.Apply(whole); err != nil {
		return err
	}
	p.cases = p.shard.Apply(p.cases)

	// A run is to have a verdict of all peers that have cases, or, of a part, of those that can play none
	// of the whole. The peers inside need not be able to play a scenario of somebody else's.
	plays := map[string]bool{} // those that have cases, and whether they can play any
	for _, c := range whole {
		plays[c.A.Name] = plays[c.A.Name] || c.UnsupportedBy(scenario.RoleA) == ""
		plays[c.B.Name] = plays[c.B.Name] || c.UnsupportedBy(scenario.RoleB) == ""
	}
	some := len(p.filter.Run)+len(p.filter.Skip) > 0 || p.shard != scenario.Shard{}
	p.awaited = map[string]bool{}
	for _, peer := range p.peers {
		can, has := plays[peer.Name]
		p.awaited[peer.Name] = has && !(some && can) && !(p.folder && p.inside[peer.Name])
	}
	return nil
}
