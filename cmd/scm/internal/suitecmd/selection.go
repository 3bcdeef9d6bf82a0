package suitecmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/cmd/scm/internal/cli"
	"github.com/scm-rights/scm/interop/catalogue"
	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/expected"
	"github.com/scm-rights/scm/interop/peers"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/spf13/cobra"
)

// Paragraphs shared by the help texts of several commands.
const (
	patternHelp = `A PATTERN is GROUP/ID/TYPE/SENDER/RECEIVER, or only its first parts. It may contain *, ?,
[ab], {a,b} and !a, and ** for any number of parts. @FILE selects the patterns in a file,
one per line. Kernel scenarios need --kernel, or a --run PATTERN that selects no others.`

	peerHelp = `If COMMAND consists of plain words, scm runs it without a shell. Otherwise, a shell starts
the peer with "exec COMMAND". To set a variable, use env A=b COMMAND. To run several
commands, use sh -c, and exec before the last of them. Some shells drop variables whose
names are not identifiers, such as a.b, and set IFS, OPTIND and PS4. A peer does not
inherit other descriptors of scm, so <&9 does not work.`

	expectHelp = `--expect FILE adds expected failures to the built-in list, which covers the peers in the
scm repository. A line is SCENARIO CHECK@PEER REASON, and PEER is the name given to --peer:

  truncation/ctrunc-two-of-three leak@mine:receives recv_fd ignores MSG_CTRUNC
  ** cloexec@mine recv_fd passes no flags

"scm interop expect --update" writes the file for you. If an expected failure does not
occur, the run fails, unless the reason begins with "flaky:". docs/testing-a-library.md in
the scm repository has all rules. --expect=none turns off the built-in list, and so does
--catalogue. To use a file named none, write --expect=./none.`
)

// selectionHint says how to select cases and peers, for a user who gave them as arguments.
const selectionHint = "to select cases, use --run; to add a peer, use --peer"

// fewPairsPartner is the peer with which --few-pairs runs each peer. One of the two backends is enough, because
// both make the same system calls.
const fewPairsPartner = "scm-" + scm.Backend

// A selection contains the flags that select the peers and the cases. Several commands use them.
type selection struct {
	list      string   // --peers
	with      []string // the names and languages to select from it
	programs  []string // --peer
	expect    []string // files, and "none"
	run       []string
	skip      []string
	fewPairs  bool
	allPairs  bool
	kernel    bool
	catalogue string
	builtin   bool
}

// flags adds all flags of a selection.
func (s *selection) flags(cmd *cobra.Command) {
	s.peerFlags(cmd)
	s.catalogueFlags(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&s.run, "run", nil, "select only cases that match `PATTERN`; may be repeated")
	f.StringArrayVar(&s.skip, "skip", nil, "skip cases that match `PATTERN`; may be repeated")
	_ = cmd.RegisterFlagCompletionFunc("run", completeScenario)
	_ = cmd.RegisterFlagCompletionFunc("skip", completeScenario)
	f.BoolVar(&s.fewPairs, "few-pairs", false, "run peers with \"few_pairs\" in --peers only with scm, the runner and themselves")
	f.BoolVar(&s.allPairs, "all-pairs", false, "with --peer, also run the other peers with each other")
	f.BoolVar(&s.kernel, "kernel", false, "also run kernel scenarios; the default if --catalogue has no others")
}

// peerFlags adds the flags that select the peers.
func (s *selection) peerFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.list, "peers", "", "add the peers in `FILE`, a list that \"make peers\" wrote, or peers.json of a release")
	f.StringArrayVar(&s.with, "with", nil, "add only the peers of --peers with this `NAME`, or in this language; may be repeated")
	f.StringArrayVar(&s.programs, "peer", nil, "add a peer, `NAME=COMMAND`; may be repeated")
	f.BoolVar(&s.builtin, "builtin", true, "use the peers that are built into scm")
}

// catalogueFlags adds the flags that select the scenarios and the expected failures.
func (s *selection) catalogueFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&s.expect, "expect", nil, "also expect the failures in `FILE`; \"none\" drops the built-in list; may be repeated")
	f.StringVar(&s.catalogue, "catalogue", "", "read the scenarios from `DIR` instead of the built-in ones")
}

// A plan contains the peers, the scenarios and the cases that the flags of a selection describe.
type plan struct {
	peers   []*scenario.Peer // that can be started
	missing []*scenario.Peer // that cannot be started, or are not used
	runner  *scenario.Peer
	builtin map[string]bool // the names of the built-in peers

	scenarios []*scenario.Scenario
	external  bool // the scenarios are those of --catalogue
	expected  []expected.Line
	expect    *scenario.Expectations
	unmatched []error // the expected failures that apply to no case
	filter    scenario.Filter
	given     []string // the peers that the run is about; see scenario.Case.About
	fewPairs  bool
	kernel    bool // with the scenarios of the kernel
	cases     []scenario.Case

	// See report.Report.
	required map[string]bool
	notAsked map[string]string
	whole    []scenario.Case // what report.Report.Asked counts
	noFiles  []string
	leftOut  int
	noKernel int
}

// newPlan reads the files that the flags name. It does not start any peer.
func (s *selection) newPlan() (*plan, error) {
	p, err := s.findPeers(s.usesBuiltinList())
	if err == nil {
		p.fewPairs, p.kernel = s.fewPairs, s.kernel
		p.filter.Run, err = readPatterns(s.run)
	}
	if err == nil {
		p.filter.Skip, err = readPatterns(s.skip)
	}
	if err == nil {
		err = s.readScenarios(p)
	}
	return p, err
}

// readScenarios reads the scenarios and the expected failures into the plan. It rejects expected
// failures with unfinished reasons.
func (s *selection) readScenarios(p *plan) (err error) {
	p.external = s.catalogue != ""
	if p.scenarios, err = s.loadScenarios(); err != nil {
		return err
	}
	lists, err := s.readLists(false, thisKernel().Kind)
	if err != nil {
		return err
	}
	p.expected = lists.All()
	return expected.ValidateReasons(p.expected)
}

// loadScenarios returns the scenarios of the catalogue.
func (s *selection) loadScenarios() ([]*scenario.Scenario, error) {
	if s.catalogue == "" {
		return catalogue.Scenarios()
	}
	list, err := catalogue.Load(os.DirFS(s.catalogue))
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("no scenario in %s: there must be a peer/GROUP/ID.txt, kernel/GROUP/ID.txt or GROUP/ID.txt", s.catalogue)
	}
	return list, err
}

// noBuiltinList is the value of --expect that turns off the built-in list. A file of that name
// can be given as ./none.
const noBuiltinList = "none"

// usesBuiltinList reports whether the built-in list of expected failures applies.
func (s *selection) usesBuiltinList() bool {
	return s.catalogue == "" && !slices.Contains(s.expect, noBuiltinList)
}

// expectFiles returns the files that the --expect flags name. It ignores an empty name, so that a
// script can pass a variable that is not set.
func (s *selection) expectFiles() (files []string, err error) {
	for _, file := range s.expect {
		if file == noBuiltinList || file == "" {
			continue
		}
		if i := slices.IndexFunc(files, func(other string) bool { return sameFile(other, file) }); i >= 0 {
			return nil, fmt.Errorf("--expect %q and %q are the same file", files[i], file)
		}
		files = append(files, file)
	}
	return files, nil
}

// sameFile reports whether two names are of the same file, which may not exist.
func sameFile(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return filepath.Clean(a) == filepath.Clean(b) || errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// readLists reads the built-in list of expected failures for a kernel of this kind, if it applies, and the files that
// the --expect flags name. With update, the last file need not exist.
func (s *selection) readLists(update bool, kind string) (lists scenario.Lists, err error) {
	files, err := s.expectFiles()
	if err != nil {
		return lists, err
	}
	own, err := catalogue.Expected(kind)
	if err != nil {
		return lists, err
	}
	var given []expected.Line
	if s.usesBuiltinList() {
		given = own
	}
	lists, err = scenario.ReadLists(given, files, update, "\"scm interop expect --update\" creates the file from a report")
	if file := (*fs.PathError)(nil); errors.As(err, &file) {
		return lists, fmt.Errorf("--expect: %w", err)
	}
	expected.MarkBuiltin(lists.Given, own)
	expected.MarkBuiltin(lists.Last, own)
	return lists, err
}

// readPatterns parses patterns. It replaces @FILE with the patterns in the file.
func readPatterns(texts []string) (list []expected.Pattern, err error) {
	for _, text := range texts {
		lines := []string{text}
		file, isFile := strings.CutPrefix(text, "@")
		if isFile {
			content, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			lines = strings.Split(string(content), "\n")
		}
		before := len(list)
		for i, line := range lines {
			if line = strings.TrimSpace(line); isFile && (line == "" || strings.HasPrefix(line, "#")) {
				continue
			}
			p, err := expected.ParsePattern(line)
			switch {
			case err != nil && isFile:
				return nil, fmt.Errorf("%s: line %d: %w", file, i+1, err)
			case err != nil:
				return nil, err
			}
			list = append(list, p)
		}
		if len(list) == before {
			return nil, fmt.Errorf("%s: the file contains no pattern", file)
		}
	}
	return list, nil
}

// findPeers returns a plan with the peers that can be started, and the others with the reason.
//
// If the built-in list of expected failures is in use, findPeers rejects a --peer that has the name
// of a peer in the repository, because that peer's expected failures would hide failures of the
// user's peer.
func (s *selection) findPeers(builtinExpectations bool) (*plan, error) {
	builtin, err := builtinPeers()
	if err != nil {
		return nil, cli.Broken(err)
	}
	var given []*scenario.Peer
	for i, peer := range builtin {
		if !s.builtin {
			builtin[i] = scenario.Missing(peer.Name, scenario.NotBuiltin)
		}
	}
	// Include all peers in the repository. Otherwise scm would reject the expected failures of unused peers
	// as lines that apply to no case.
	known := slices.Clone(builtin)
	for _, name := range peers.Names() {
		known = append(known, scenario.Missing(name, scenario.NotSelected))
	}
	for _, text := range s.programs {
		name, command, ok := strings.Cut(text, "=")
		switch {
		case !ok || !display.IsName(name) || command == "":
			return nil, fmt.Errorf("--peer %q is not NAME=COMMAND", text)
		case builtinExpectations && slices.ContainsFunc(known, func(p *scenario.Peer) bool { return p.Name == name }):
			return nil, fmt.Errorf("--peer %q has the name of a peer in the repository, whose expected failures would hide its own: "+
				"choose another name, or use --expect=none", name)
		}
		if err := peers.CheckName(name, reserved...); err != nil {
			return nil, err
		}
		given = append(given, scenario.Program(name, peerWords(command)...))
	}
	listed, err := s.listedPeers()
	if err != nil {
		return nil, err
	}
	for _, b := range listed {
		peer := scenario.Program(b.Name, b.Command...)
		peer.Why = b.Obstacle()
		peer.FewPairs = b.FewPairs
		given = append(given, peer)
	}
	p := &plan{builtin: map[string]bool{}}
	for _, peer := range given[:len(s.programs)] {
		if !s.allPairs {
			p.given = append(p.given, peer.Name)
		}
	}
	seen := map[string]bool{}
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
		seen[peer.Name], p.builtin[peer.Name] = true, slices.Contains(builtin, peer)
	}
	return p, nil
}

// reserved are the names that no peer may have.
var reserved = []string{scenario.RunnerName, scenario.KernelName}

// plainWords matches a command whose words a shell would not change.
var plainWords = regexp.MustCompile(`^ *[\w./][\w./:@%+,-]*( +[\w./:@%+,=-]+)* *$`)

// peerWords returns the words of a program that starts a COMMAND of --peer. That is a shell only if the command needs
// one, because a container image may have none.
func peerWords(command string) []string {
	if plainWords.MatchString(command) {
		return strings.Fields(command)
	}
	return []string{"/bin/sh", "-c", "exec " + command}
}

// listedPeers returns the peers of --peers that --with selects. It returns an error if a peer that --with names cannot
// run, or if none of them can. Otherwise, a peer whose language --with names is only listed with the reason.
func (s *selection) listedPeers() (selected []peers.Built, err error) {
	if s.list == "" {
		if len(s.with) > 0 {
			return nil, errors.New("--with selects peers from the list of --peers")
		}
		return nil, nil
	}
	list, unknown, err := peers.ReadListKeys(s.list, reserved...)
	if unknown != nil {
		cli.PrintError(fmt.Errorf("warning: --peers %w, which is ignored", unknown))
	}
	if err != nil || len(s.with) == 0 {
		return list, err
	}
	for _, word := range s.with {
		language := slices.ContainsFunc(list, func(b peers.Built) bool { return b.Lang == word })
		named := slices.DeleteFunc(slices.Clone(list), func(b peers.Built) bool {
			return language && b.Lang != word || !language && b.Name != word
		})
		switch {
		case len(named) == 0 && strings.Contains(word, ","):
			return nil, fmt.Errorf("--with %q: for two peers or languages, give --with twice", word)
		case len(named) == 0:
			return nil, fmt.Errorf("--with %q: %s has no such peer or language", word, s.list)
		case !language && named[0].Why != "":
			return nil, cli.Broken(fmt.Errorf("--with %s: %s", word, named[0].Obstacle()))
		}
		for _, b := range named {
			if !slices.ContainsFunc(selected, func(other peers.Built) bool { return other.Name == b.Name }) {
				selected = append(selected, b)
			}
		}
	}
	if !slices.ContainsFunc(selected, func(b peers.Built) bool { return b.Why == "" }) {
		return nil, cli.Broken(fmt.Errorf("--with %s: %s", strings.Join(s.with, ", "), selected[0].Obstacle()))
	}
	return selected, nil
}

// selectCases sets the cases of the plan, and the peers for which it requires a verdict.
func (p *plan) selectCases() (err error) {
	whole := scenario.Plan(p.scenarios, p.peers, p.runner)
	spare := func(c scenario.Case) bool { return p.fewPairs && c.Spare(fewPairsPartner) }
	// A pattern may be about cases that are not in the run.
	if p.cases, err = p.filter.Apply(slices.DeleteFunc(slices.Clone(whole), spare)); err != nil {
		return err
	}
	kernel := p.kernel || !slices.ContainsFunc(p.scenarios, func(s *scenario.Scenario) bool { return !s.Kernel() })
	kernelOnly := p.filter.KernelOnly(whole)
	outside := func(c scenario.Case) bool {
		return !c.About(p.given) || c.Kernel() && !kernel && !slices.Contains(kernelOnly, c)
	}
	// A run is about peers, unless the user asks for scenarios of the kernel.
	asked := slices.Concat(p.filter.Run, p.filter.Skip)
	var noKernel []*scenario.Scenario
	for _, c := range whole {
		isAsked := p.external && len(asked) == 0 ||
			slices.ContainsFunc(asked, func(pattern expected.Pattern) bool { return pattern.Match(c.Name()) })
		if c.Kernel() && outside(c) && isAsked && !slices.Contains(noKernel, c.Scenario) {
			noKernel = append(noKernel, c.Scenario)
		}
	}
	p.noKernel = len(noKernel)
	p.cases = slices.DeleteFunc(p.cases, outside)
	whole = slices.DeleteFunc(whole, outside)
	p.whole = slices.Clone(whole)
	for _, pattern := range p.filter.Run {
		if !slices.ContainsFunc(whole, func(c scenario.Case) bool { return pattern.Match(c.Name()) }) {
			return fmt.Errorf("pattern %q matches no case of %s: to run the other peers with each other, add --all-pairs",
				pattern, strings.Join(p.given, ", "))
		}
	}
	p.leftOut = len(whole) - len(p.cases)
	whole = slices.DeleteFunc(whole, spare)

	// If all cases are selected, every peer that has cases must get a verdict. If only some cases are selected, only a
	// peer that does not support any case must get one, because selecting such a peer is probably a mistake. The same
	// applies to a peer that supports no case that passes a descriptor. Built-in peers need no verdict on a user's own
	// scenarios, because they may support none of them, and these need not pass descriptors. Nor do the partners of the
	// peers that the run is about.
	supported := map[string]bool{} // the peers that have cases, and whether they support any
	passing := map[string]bool{}   // the peers that support a case in which they send or receive a descriptor
	for _, c := range whole {
		for _, role := range []scenario.Role{scenario.RoleA, scenario.RoleB} {
			name, supports := c.Peer(role).Name, c.UnsupportedBy(role) == ""
			supported[name] = supported[name] || supports
			passing[name] = passing[name] || supports && c.Scenario.PassesFiles()
		}
	}
	partial := len(p.filter.Run)+len(p.filter.Skip) > 0
	p.required, p.notAsked, p.noFiles = map[string]bool{}, map[string]string{}, nil
	for _, peer := range p.peers {
		if len(p.given) > 0 && !slices.Contains(p.given, peer.Name) {
			continue
		}
		if !p.builtin[peer.Name] {
			p.notAsked[peer.Name] = "" // until the run has ended
		}
		if !p.external && !passing[peer.Name] {
			p.noFiles = append(p.noFiles, peer.Name)
		}
		supportsAny, hasCases := supported[peer.Name]
		p.required[peer.Name] = hasCases && !(partial && supportsAny) && !(p.external && p.builtin[peer.Name])
	}
	if !slices.ContainsFunc(p.cases, func(c scenario.Case) bool { return !c.Control() && !c.Kernel() }) {
		p.given = nil // these cases are not a control of others
	}
	return nil
}

// completeScenario completes the name of a scenario.
func completeScenario(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return catalogue.Names(), cobra.ShellCompDirectiveNoFileComp
}
