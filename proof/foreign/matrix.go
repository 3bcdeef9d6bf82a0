//go:build linux

package foreign

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/peers"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/proof/must"
	"github.com/scm-rights/scm/proof/target"
)

// native is the machine's own platform. Its runner runs the catalogue, and pairs two of its peers with
// the peers of the other platforms.
var native = &platform{Target: target.Target{Arch: runtime.GOARCH, Libc: "native", Compiler: []string{"cc"}}}

// build builds the command scm, and peers in C.
func (p *platform) build(inC ...string) {
	must.OK(os.MkdirAll(p.out(""), 0o777))
	args := append([]string{"build", "-o", p.out("scm")}, p.buildFlags()...)
	must.Run(target.Go(p.Arch, p.cc(), append(args, "./cmd/scm")...))
	if p.cc() != "" {
		p.makeC("interop/peers/c", append(inC, "OUT="+p.out(""))...)
	}
}

// makeC runs make in a folder, with the platform's compiler.
func (p *platform) makeC(folder string, args ...string) {
	args = append([]string{"-s", "--no-print-directory", "-C", folder, "CC=" + p.cc(), "LDFLAGS=-static"}, args...)
	cmd := exec.Command("make", args...)
	cmd.Env = fdtest.WithoutMake()
	must.Run(cmd)
}

// peers returns the platform's peers. They include peers written in C if the platform has a C compiler, and
// otherwise the peers for golang.org/x/sys and package net.
func (p *platform) peers() (list []peers.Built) {
	add := func(name string, command ...string) {
		list = append(list, peers.Built{Name: name, Lang: "c or go", Command: command})
	}
	inGo := []string{"scm", "scm-pair", "scm-fdchannel"}
	inC := []string{"csrc", "csrc-pair", "book"}
	if p.cc() == "" {
		inGo, inC = append(inGo, "net", "xsys"), nil
	}
	for _, name := range inGo {
		add(name, p.out("scm"), "interop", "peer", name)
	}
	for _, name := range inC {
		add(name, p.out(name))
	}
	return list
}

// runMatrix builds the platform's peers and runs the catalogue with them. It pairs each peer with the machine's
// own peers and with the runner, in both roles, and pairs scm with itself.
func (p *platform) runMatrix() {
	p.build("csrc", "csrc-pair", "book")
	list := p.peers()
	var names []string
	for _, b := range list {
		names = append(names, b.Name)
	}
	list = append(list,
		peers.Built{Name: "native-scm", Lang: "go", Command: []string{native.out("scm"), "interop", "peer", "scm"}},
		peers.Built{Name: "native-csrc", Lang: "c", Command: []string{native.out("csrc")}})
	must.OK(peers.WriteList(p.out("peers.json"), list))
	ours := "{" + strings.Join(names, ",") + "}"
	others := "{runner,native-scm,native-csrc}"
	args := []string{"--builtin=false", "--peers", p.out("peers.json"),
		"--run", "*/*/*/" + others + "/" + ours, "--run", "*/*/*/" + ours + "/" + others, "--run", "*/*/*/scm/scm"}
	p.runCases(&p.matrix, "matrix", native.out("scm"), args...)
	// Run the kernel scenarios for one backend only, because the runner makes the system calls itself, without
	// a backend.
	if p.cc() == "" {
		p.runCases(&p.kernel, "kernel", p.out("scm"), "--run", "**/kernel/kernel")
	}
}

// runCases runs `scm interop run` and counts the verdicts of its report.
func (p *platform) runCases(c *count, name, runner string, args ...string) {
	file := p.out(name + ".json")
	_ = os.Remove(file) // left by an earlier run
	out, failed := exec.Command(runner, append([]string{"interop", "run", "--report", file}, args...)...).CombinedOutput()
	text, err := os.ReadFile(file)
	if err != nil {
		must.Failf("%w: %w\n%s", failed, err, out)
	}
	var report struct{ Cases []scenario.Result }
	must.OK(json.Unmarshal(text, &report))
	for _, r := range report.Cases {
		switch r.Verdict {
		case scenario.Pass:
			c.passed++
		case scenario.Expected:
			c.expected++
		case scenario.Unsupported:
			c.skip(r.Why)
		default:
			c.failures = append(c.failures, fmt.Sprintf("%s: %s", r.Name, r.Verdict))
		}
	}
	if failed != nil && len(c.failures) == 0 || c.passed == 0 {
		must.Failf("interop run: %w\n%s", errors.Join(failed, errors.New("no failure, or no case passed")), out)
	}
}
