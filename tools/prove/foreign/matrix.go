//go:build linux

package foreign

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/scenario"

	"github.com/scm-rights/scm/interop/catalogue"
	"github.com/scm-rights/scm/interop/peers"
)

// The runner, its witness and two peers are the machine's own; the others are the platform's. Each of
// the platform's plays with the machine's, in both roles, and with the runner.

// unplayed are cases that an emulator cannot play as the receiver.
var unplayed = []struct {
	pattern, why string
}{
	{"truncation/{ctrunc-empty-packet-of-two,ctrunc-padding-room-extra-fd,ctrunc-three-into-one,ctrunc-two-of-three,trunc-and-ctrunc-together}/*/*",
		fdtest.NotCut},
	{"{flags/peek-cut-then-whole,hostile/receiver-wrong-count,limits/max-fds-and-creds-together,limits/peer-limit-7-odd,names/name-extra-fds-closed}/*/*",
		fdtest.NotCut},
}

// A peer of a platform: its name, the program, and its arguments.
type platformPeer struct{ name, program, args string }

// peers lists them: those in C where there is a compiler, those of golang.org/x/sys and net where
// there is none.
func (p platform) peers() []platformPeer {
	list := []platformPeer{
		{"scm", "scm", "interop peer scm"},
		{"scm-pair", "scm", "interop peer scm-pair"},
	}
	if p.Native() { // its messages have no buffers: see suites
		list = append(list, platformPeer{"scm-fdchannel", "scm", "interop peer scm-fdchannel"})
	}
	if p.cc() == "" {
		return append(list, platformPeer{"net", "scm", "interop peer net"}, platformPeer{"xsys", "scm", "interop peer xsys"})
	}
	return append(list, platformPeer{"csrc", "csrc", ""}, platformPeer{"csrc-pair", "csrc-pair", ""}, platformPeer{"book", "book", ""})
}

// runMatrix builds the peers of the platform and plays with them.
func (p platform) runMatrix() (totals matrixTotals, err error) {
	if err := p.goTool([]string{"build"}, "-o", p.out("scm"), "./cmd/scm"); err != nil {
		return totals, err
	}
	if p.cc() != "" {
		out, err := filepath.Abs(p.out(""))
		if err != nil {
			return totals, err
		}
		if _, err := p.makeC("interop/peers/c", "OUT="+out, "csrc", "csrc-pair", "book"); err != nil {
			return totals, err
		}
	}
	list := []peers.Built{
		{Name: "scm", Lang: "go", Command: []string{nativeSCM, "interop", "peer", "scm"}},
		{Name: "csrc", Lang: "c", Command: []string{nativeCSRC}},
	}
	var names []string
	for _, peer := range p.peers() {
		program, err := filepath.Abs(p.out(peer.program))
		if err != nil {
			return totals, err
		}
		command, err := p.command(program, strings.Fields(peer.args)...)
		if err != nil {
			return totals, err
		}
		names = append(names, p.peer(peer.name))
		list = append(list, peers.Built{Name: p.peer(peer.name), Lang: "c or go", Command: command})
	}
	if err := peers.WriteList(p.out("peers.json"), list); err != nil {
		return totals, err
	}
	if err := p.writeExpected(); err != nil {
		return totals, err
	}
	args := []string{"interop", "run", "--builtin=false", "--peers", p.out("peers.json"), "--expect", p.out("expected.txt"), "--report", p.out("matrix.json")}
	all := "{" + strings.Join(names, ",") + "}"
	for _, pair := range []string{"{runner,scm,csrc}/" + all, all + "/{runner,scm,csrc}", p.peer("scm") + "/" + p.peer("scm")} {
		args = append(args, "--run", "*/*/*/"+pair)
	}
	for _, pattern := range p.skips() {
		args = append(args, "--skip", pattern)
	}
	return p.play("matrix", nativeSCM, args...)
}

// runKernel plays the kernel's scenarios with the platform's own runner.
func (p platform) runKernel() (matrixTotals, error) {
	return p.play("kernel", p.out("scm"), "interop", "run", "--report", p.out("kernel.json"), "--run", "**/kernel/kernel")
}

// play runs a runner that reports to NAME.json.
func (p platform) play(name, runner string, args ...string) (totals matrixTotals, err error) {
	if err := os.RemoveAll(p.out(name + ".json")); err != nil {
		return totals, err
	}
	text, failed := exec.Command(runner, args...).CombinedOutput()
	if err := os.WriteFile(p.out(name+".out"), text, 0o666); err != nil {
		return totals, err
	}
	totals, err = p.readTotals(p.out(name + ".json"))
	if err != nil {
		return totals, fmt.Errorf("%w: %w\n%s", failed, err, text)
	}
	if failed != nil && len(totals.failures) == 0 {
		return totals, fmt.Errorf("interop run: %w; see %s", failed, p.out(name+".out"))
	}
	return totals, nil
}

// peer is what a peer of the platform is called.
func (p platform) peer(name string) string { return name + "-" + p.name() }

// skips are the patterns of what the platform's emulator cannot play.
func (p platform) skips() (patterns []string) {
	if p.Native() {
		return nil
	}
	for _, u := range unplayed {
		patterns = append(patterns, u.pattern+"/*-"+p.name())
	}
	return patterns
}

// untrueOn32Bits are the expectations of the catalogue about the book that do not hold on 32 bits: its
// room then admits one descriptor, so that there is no other to leak.
var untrueOn32Bits = []string{
	"truncation/ctrunc-padding-room-extra-fd/**/book leak",
	"truncation/ctrunc-three-into-one/**/book leak",
	"{hostile/receiver-wrong-count,names/name-extra-fds-closed}/**/book leak",
	"credentials/ctrunc-creds-eat-the-room/**/book answer",
}

// expectedOn32Bits are the expectations that hold on 32 bits alone.
const expectedOn32Bits = `
credentials/{ctrunc-creds-eat-the-room,creds-plain-no-room}/**/book crash@book UNP §15.7 exits at a control message that is not SCM_RIGHTS: the credentials are cut to its very length
`

// writeExpected writes what the catalogue expects of the peers, under the names that they have here.
func (p platform) writeExpected() error {
	list, err := catalogue.Expected()
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(e scenario.Expectation) bool { return !e.On(scenario.KernelLinux) })
	if p.narrow() {
		list = slices.DeleteFunc(list, func(e scenario.Expectation) bool {
			return slices.Contains(untrueOn32Bits, e.Pattern.String()+" "+string(e.Check))
		})
		more, err := scenario.ParseExpectations([]byte(expectedOn32Bits))
		if err != nil {
			return err
		}
		list = append(list, more...)
	}
	var names []string
	for _, peer := range p.peers() {
		names = append(names, peer.name)
	}
	rename := func(word string) string {
		if slices.Contains(names, word) {
			return p.peer(word)
		}
		return word
	}
	var text strings.Builder
	for _, e := range list {
		if slices.Contains(names, e.Peer) {
			pattern := regexp.MustCompile(`[^/{},]+`).ReplaceAllStringFunc(e.Pattern.String(), rename)
			fmt.Fprintf(&text, "%s %s@%s %s\n", pattern, e.Check, p.peer(e.Peer), e.Reason)
		}
	}
	return os.WriteFile(p.out("expected.txt"), []byte(text.String()), 0o666)
}

// matrixTotals are the verdicts of a run.
type matrixTotals struct {
	pass, expected int
	unsupported    map[string]int // by the reason, without the peer's name
	failures       []string
}

// unnamed is a reason without the name of the platform's peer before it.
func (p platform) unnamed(why string) string {
	if before, after, found := strings.Cut(why, ": "); found && strings.HasSuffix(before, p.peer("")) {
		return after
	}
	return why
}

func (p platform) readTotals(file string) (t matrixTotals, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return t, err
	}
	var report struct{ Cases []scenario.Result }
	if err := json.Unmarshal(text, &report); err != nil {
		return t, err
	}
	t.unsupported = map[string]int{}
	for _, c := range report.Cases {
		switch c.Verdict {
		case scenario.Pass:
			t.pass++
		case scenario.Expected:
			t.expected++
		case scenario.Unsupported:
			t.unsupported[p.unnamed(c.Why)]++
		default:
			t.failures = append(t.failures, fmt.Sprintf("%s: %s", c.Name, c.Verdict))
		}
	}
	if t.pass == 0 {
		return t, errors.New("no case passed")
	}
	return t, nil
}
