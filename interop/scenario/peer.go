package scenario

import (
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/interop/contract"
)

// A Peer is one interface of one library, as a program or inside this process.
type Peer struct {
	Name    string
	Command []string // the program, or
	Serve   func(in io.Reader, out io.Writer) error
	Why     string // why there is neither

	Hello contract.Hello // what it says of itself; set by Probe

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

// InProcess returns a peer that serve plays in this process.
func InProcess(name string, serve func(in io.Reader, out io.Writer) error) *Peer {
	return &Peer{Name: name, Serve: serve}
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

// takes tells why the peer cannot play this role of the scenario on this type
// of socket, or "".
func (p *Peer) takes(s *Scenario, role Role, socketType string) string {
	if !p.Hello.Offers(socketType) {
		return "no " + socketType
	}
	for _, c := range s.capabilities(role) {
		if !p.Hello.Offers(c) {
			return "no " + c
		}
	}
	if p.Hello.Polls && slices.Contains(s.Waits, role) {
		return "it polls"
	}
	if p.Hello.Payload != "" && s.otherPayload(p.Hello.Payload) {
		return "its payload is " + p.Hello.Payload
	}
	if p.Hello.Room == "" {
		return ""
	}
	bytes, fds, _ := strings.Cut(p.Hello.Room, ",")
	if room, err := strconv.Atoi(bytes); err == nil && s.largestPayload() > room {
		return "its room is " + p.Hello.Room
	}
	if s.RoomAny {
		return ""
	}
	for _, st := range s.Steps {
		if st.Role != role || st.Kind != StepSay {
			continue
		}
		l := st.Command
		if l.Verb != "recv" {
			continue
		}
		if bytes != "*" && l.Fields["bytes"] != bytes || fds != "*" && l.Fields["fds"] != fds {
			return "its room is " + p.Hello.Room
		}
	}
	return ""
}
