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
type groundPeer struct{ name, program, args string }

// peers lists them: those in C where there is a compiler, those of golang.org/x/sys and net where
// there is none.
func (g platform) peers() []groundPeer {
	list := []groundPeer{
		{"scm", "scm", "interop peer scm"},
		{"scm-pair", "scm", "interop peer scm-pair"},
	}
	if g.Native() { // its messages have no buffers: see suites
		list = append(list, groundPeer{"scm-fdchannel", "scm", "interop peer scm-fdchannel"})
	}
	if g.cc() == "" {
		return append(list, groundPeer{"net", "scm", "interop peer net"}, groundPeer{"xsys", "scm", "interop peer xsys"})
	}
	return append(list, groundPeer{"csrc", "csrc", ""}, groundPeer{"csrc-pair", "csrc-pair", ""}, groundPeer{"book", "book", ""})
}

// runMatrix builds the peers of the platform and plays with them.
func (g platform) runMatrix() (totals matrixTotals, err error) {
	if err := g.goTool([]string{"build"}, "-o", g.out("scm"), "./cmd/scm"); err != nil {
		return totals, err
	}
	if g.cc() != "" {
		out, err := filepath.Abs(g.out(""))
		if err != nil {
			return totals, err
		}
		if _, err := g.makeC("interop/peers/c", "OUT="+out, "csrc", "csrc-pair", "book"); err != nil {
			return totals, err
		}
	}
	list := []peers.Built{
		{Name: "scm", Lang: "go", Command: []string{nativeSCM, "interop", "peer", "scm"}},
		{Name: "csrc", Lang: "c", Command: []string{nativeCSRC}},
	}
	var names []string
	for _, p := range g.peers() {
		program, err := filepath.Abs(g.out(p.program))
		if err != nil {
			return totals, err
		}
		command, err := g.command(program, strings.Fields(p.args)...)
		if err != nil {
			return totals, err
		}
		names = append(names, g.peer(p.name))
		list = append(list, peers.Built{Name: g.peer(p.name), Lang: "c or go", Command: command})
	}
	if err := peers.WriteList(g.out("peers.json"), list); err != nil {
		return totals, err
	}
	if err := g.writeExpected(); err != nil {
		return totals, err
	}
	args := []string{"interop", "run", "--builtin=false", "--peers", g.out("peers.json"), "--expect", g.out("expected.txt"), "--report", g.out("matrix.json")}
	all := "{" + strings.Join(names, ",") + "}"
	for _, pair := range []string{"{runner,scm,csrc}/" + all, all + "/{runner,scm,csrc}", g.peer("scm") + "/" + g.peer("scm")} {
		args = append(args, "--run", "*/*/*/"+pair)
	}
	for _, pattern := range g.skips() {
		args = append(args, "--skip", pattern)
	}
	return g.play("matrix", nativeSCM, args...)
}

// runKernel plays the kernel's scenarios with the platform's own runner.
func (g platform) runKernel() (matrixTotals, error) {
	return g.play("kernel", g.out("scm"), "interop", "run", "--report", g.out("kernel.json"), "--run", "**/kernel/kernel")
}

// play runs a runner that reports to NAME.json.
func (g platform) play(name, runner string, args ...string) (totals matrixTotals, err error) {
	if err := os.RemoveAll(g.out(name + ".json")); err != nil {
		return totals, err
	}
	text, failed := exec.Command(runner, args...).CombinedOutput()
	if err := os.WriteFile(g.out(name+".out"), text, 0o666); err != nil {
		return totals, err
	}
	totals, err = g.readTotals(g.out(name + ".json"))
	if err != nil {
		return totals, fmt.Errorf("%w: %w\n%s", failed, err, text)
	}
	if failed != nil && len(totals.failures) == 0 {
		return totals, fmt.Errorf("interop run: %w; see %s", failed, g.out(name+".out"))
	}
	return totals, nil
}

// peer is what a peer of the platform is called.
func (g platform) peer(name string) string { return name + "-" + g.name() }

// skips are the patterns of what the platform's emulator cannot play.
func (g platform) skips() (patterns []string) {
	if g.Native() {
		return nil
	}
	for _, u := range unplayed {
		patterns = append(patterns, u.pattern+"/*-"+g.name())
	}
	return patterns
}

// narrowHeld are the lines of the catalogue about the book that do not come true with 32 bits: its
// room then admits one descriptor, so that there is no other to leak.
var narrowHeld = []string{
	"truncation/ctrunc-padding-room-extra-fd/**/book leak",
	"truncation/ctrunc-three-into-one/**/book leak",
	"{hostile/receiver-wrong-count,names/name-extra-fds-closed}/**/book leak",
	"credentials/ctrunc-creds-eat-the-room/**/book answer",
}

// narrowExpected are the lines for 32 bits alone.
const narrowExpected = `
credentials/{ctrunc-creds-eat-the-room,creds-plain-no-room}/**/book crash@book UNP §15.7 exits at a control message that is not SCM_RIGHTS: the credentials are cut to its very length
`

// writeExpected writes what the catalogue expects of the peers, under the names that they have here.
func (g platform) writeExpected() error {
	list, err := catalogue.Expected()
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(e scenario.Expectation) bool { return !e.On(scenario.KernelLinux) })
	if g.narrow() {
		list = slices.DeleteFunc(list, func(e scenario.Expectation) bool {
			return slices.Contains(narrowHeld, e.Pattern.String()+" "+string(e.Check))
		})
		more, err := scenario.ParseExpectations([]byte(narrowExpected))
		if err != nil {
			return err
		}
		list = append(list, more...)
	}
	var names []string
	for _, p := range g.peers() {
		names = append(names, p.name)
	}
	rename := func(word string) string {
		if slices.Contains(names, word) {
			return g.peer(word)
		}
		return word
	}
	var text strings.Builder
	for _, e := range list {
		if slices.Contains(names, e.Peer) {
			pattern := regexp.MustCompile(`[^/{},]+`).ReplaceAllStringFunc(e.Pattern.String(), rename)
			fmt.Fprintf(&text, "%s %s@%s %s\n", pattern, e.Check, g.peer(e.Peer), e.Reason)
		}
	}
	return os.WriteFile(g.out("expected.txt"), []byte(text.String()), 0o666)
}

// matrixTotals are the verdicts of a run.
type matrixTotals struct {
	pass, expected int
	unsupported    map[string]int // by the reason, without the peer's name
	failures       []string
}

// unnamed is a reason without the name of the platform's peer before it.
func (g platform) unnamed(why string) string {
	if before, after, found := strings.Cut(why, ": "); found && strings.HasSuffix(before, g.peer("")) {
		return after
	}
	return why
}

func (g platform) readTotals(file string) (t matrixTotals, err error) {
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
			t.unsupported[g.unnamed(c.Why)]++
		default:
			t.failures = append(t.failures, fmt.Sprintf("%s: %s", c.Name, c.Verdict))
		}
	}
	if t.pass == 0 {
		return t, errors.New("no case passed")
	}
	return t, nil
}
