package scenario

import "github.com/scm-rights/scm/interop/contract"

// A Peer is one interface of one library, as a program.
type Peer struct {
	Name    string
	Command []string // the program and its arguments
	Why     string   // the reason why Command is empty

	Hello contract.Hello // its answer to hello; set by Probe
	Slow  bool           // it takes long to start; set by Probe

	kernel *Peer // for the runner: the peer for kernel scenarios
}

// RunnerName is the name of the runner when it takes a role itself.
const RunnerName = "runner"

// KernelName is the name of the runner when it takes both roles of a kernel scenario. A
// finding there is about the kernel.
const KernelName = "kernel"

// Kernel returns the runner as the peer of kernel scenarios.
func (p *Peer) Kernel() *Peer {
	if p.kernel == nil {
		return p
	}
	return p.kernel
}

// Program returns a peer that is a program.
func Program(name string, command ...string) *Peer {
	return &Peer{Name: name, Command: command}
}

// RunnerPeer returns the runner as a peer, which runs kernel scenarios too.
func RunnerPeer(command ...string) *Peer {
	return &Peer{Name: RunnerName, Command: command, kernel: Program(KernelName, command...)}
}

// Missing returns a peer without a program, and the reason why it has none.
func Missing(name, why string) *Peer {
	p := &Peer{Name: name, Why: why}
	if name == RunnerName {
		p.kernel = &Peer{Name: KernelName, Why: why}
	}
	return p
}
