package scenario

import (
	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/expected"
)

// A Peer is a program that calls one interface of a library. The runner is also a Peer when
// it takes a role itself.
type Peer struct {
	Name    string
	Command []string // the program and its arguments
	Why     string   // the reason why Command is empty

	Hello contract.Hello // its answer to hello; set by Probe
	Slow  bool           // it takes long to start; set by Probe

	FewPairs bool // a run with few pairs leaves out most of its cases; see Case.Spare

	// Unfilled contains "send" if the peer answers "unsupported" to the simplest send on each type of
	// socket, and "recv" likewise. Every peer must support both, so it is probably a skeleton without
	// a library. Set by Smoke, and by ProbeTemplate if it contains both.
	Unfilled []string

	kernel *Peer // for the runner: the peer for kernel scenarios
}

// RunnerName is the name of the runner when it takes a role in a peer scenario.
const RunnerName = expected.Runner

// KernelName is the name of the runner when it takes both roles of a kernel scenario. A
// finding about this peer is a finding about the kernel.
const KernelName = expected.Kernel

// Kernel returns the Peer that stands for the runner in kernel scenarios.
func (p *Peer) Kernel() *Peer {
	if p.kernel == nil {
		return p
	}
	return p.kernel
}

// Reasons why a known peer is missing if the user did not ask for it.
const (
	NotSelected = "not selected; to use it: make peers, then --peers build/peers/peers.json"
	NotBuiltin  = "left out by --builtin=false"
)

// Program returns a peer that runs the given command.
func Program(name string, command ...string) *Peer {
	return &Peer{Name: name, Command: command}
}

// RunnerPeer returns the Peer that stands for the runner. The command starts a process of the
// runner, which can also run kernel scenarios.
func RunnerPeer(command ...string) *Peer {
	return &Peer{Name: RunnerName, Command: command, kernel: Program(KernelName, command...)}
}

// Missing returns a peer that cannot run because its program is missing. The argument why is
// the reason.
func Missing(name, why string) *Peer {
	p := &Peer{Name: name, Why: why}
	if name == RunnerName {
		p.kernel = &Peer{Name: KernelName, Why: why}
	}
	return p
}
