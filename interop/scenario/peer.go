package scenario

import "github.com/scm-rights/scm/interop/contract"

// A Peer is one interface of one library, as a program.
type Peer struct {
	Name    string
	Command []string // the program, or
	Why     string   // why there is none

	Hello contract.Hello // what it says of itself; set by Probe
	Slow  bool           // to start; set by Probe

	kernel *Peer // of the runner: itself, where it plays both sides
}

// RunnerName is the runner's own name where it plays a side itself.
const RunnerName = "runner"

// KernelName is who plays both sides of a kernel scenario, and is found wrong
// there: the kernel, by way of the runner.
const KernelName = "kernel"

// Kernel is the runner as it plays both sides of kernel scenarios.
func (p *Peer) Kernel() *Peer {
	if p.kernel == nil {
		return p
	}
	return p.kernel
}

// Program is a peer that is started as a program.
func Program(name string, command ...string) *Peer {
	return &Peer{Name: name, Command: command}
}

// RunnerPeer is the runner as a peer, which plays kernel scenarios too.
func RunnerPeer(command ...string) *Peer {
	return &Peer{Name: RunnerName, Command: command, kernel: Program(KernelName, command...)}
}

// Missing returns a peer that is not there, and why.
func Missing(name, why string) *Peer {
	p := &Peer{Name: name, Why: why}
	if name == RunnerName {
		p.kernel = &Peer{Name: KernelName, Why: why}
	}
	return p
}
