//go:build linux

package identity

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/scm-rights/scm/internal/mutant"
	"github.com/scm-rights/scm/internal/recorder"
	machines "github.com/scm-rights/scm/internal/target"
)

// A fault is a change to the sources of one backend, which is then built for one architecture. The
// first difference from the other backend must be in Field.
type fault struct{ mutant.Fault }

// walk returns the run of the walk whose calls reveal the fault.
func (f *fault) walk() walk {
	if f.Sizes {
		return walk{sizes: true}
	}
	return walk{seed: 1, calls: mutantCalls}
}

// backend returns the backend that has the fault.
func (f *fault) backend() string {
	if f.Hits("cgo") {
		return "cgo"
	}
	return "purego"
}

// mutantCalls is a number of calls of the walk that is enough to find every fault.
const mutantCalls = 1024

// mutants tries each fault, and prints the difference that revealed it.
func (p *proof) mutants(faults []fault) error {
	m := mutation{p, map[recordingKey]map[string]healthy{}}
	for i := range faults {
		if err := m.prepare(&faults[i]); err != nil && !errors.Is(err, machines.ErrMissing) {
			return err
		}
	}
	const line = "%-7s %-6s %-46s %s\n"
	p.printf(line, "arch", "in", "fault", "found")
	type outcome struct {
		d   *difference
		err error
	}
	outcomes := make([]chan outcome, len(faults))
	slots := make(chan struct{}, 2)
	for i := range faults {
		outcomes[i] = make(chan outcome, 1)
		go func() {
			slots <- struct{}{}
			d, err := m.find(&faults[i])
			outcomes[i] <- outcome{d, err}
			<-slots
		}()
	}
	survived, missing := 0, 0
	var failed error
	for i := range faults {
		f, o := &faults[i], <-outcomes[i]
		found := ""
		switch {
		case errors.Is(o.err, machines.ErrMissing):
			missing++
			found = firstLine(o.err)
		case o.err != nil:
			failed = errors.Join(failed, fmt.Errorf("%s: %w", f.What, o.err))
			found = firstLine(o.err)
		case o.d == nil:
			survived++
			found = "NOT FOUND"
		case !f.foundBy(o.d):
			survived++
			found = "NOT AS " + f.Field + " " + f.Words + ", but as: " + o.d.text
		default:
			found = o.d.text
		}
		p.printf(line, f.Arch, f.backend(), f.What, found)
	}
	p.printf("mutants: %d, %d survived, %d not run\n", len(faults), survived, missing)
	switch {
	case failed != nil:
		return failed
	case survived > 0:
		return fmt.Errorf("%d mutants survived", survived)
	case missing > 0 && os.Getenv("CI") == "true":
		return fmt.Errorf("%d not run, and CI=true", missing)
	}
	return nil
}

// A mutation contains the recordings of the backends without a fault, with which the mutants are compared.
type mutation struct {
	*proof
	healthy map[recordingKey]map[string]healthy
}

type recordingKey struct {
	arch string
	walk walk
}

// healthy is a recording of a backend without a fault.
type healthy struct {
	target
	path      string
	recording *recording
}

// prepare records both backends on the architecture of a fault. It returns an error if the backends
// already differ without a fault, because the mutants would then prove nothing.
func (m *mutation) prepare(f *fault) error {
	f.Arch = cmp.Or(f.Arch, runtime.GOARCH)
	key := recordingKey{f.Arch, f.walk()}
	if m.healthy[key] != nil {
		return nil
	}
	if g := guestFor(f.Arch); g != nil {
		_, err := m.inGuest(g, m.dir, "")
		return err
	}
	both := map[string]healthy{}
	for _, t := range targets() {
		if t.arch != f.Arch || t.libc == "musl" {
			continue
		}
		path, err := t.build(m.root, m.dir, walkPackage, "")
		if err != nil {
			return err
		}
		r, err := key.walk.record(path)
		if err != nil {
			return err
		}
		both[t.backend] = healthy{t, path, r}
	}
	if len(both) < 2 {
		return fmt.Errorf("%w: no %s here", machines.ErrMissing, f.Arch)
	}
	m.healthy[key] = both
	pure, cgo := both["purego"], both["cgo"]
	found, err := pure.recording.against(cgo.recording, pure.path, cgo.path)
	if len(found) > 0 {
		err = fmt.Errorf("without a fault: %v", found[0])
	}
	return err
}

// find returns the first difference that a fault causes, or nil.
func (m *mutation) find(f *fault) (*difference, error) {
	dir, err := os.MkdirTemp(m.dir, "mutant")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	overlay, err := mutant.Overlay(m.root, dir, f.Edits...)
	if err != nil {
		return nil, err
	}
	if g := guestFor(f.Arch); g != nil {
		return m.inGuest(g, dir, overlay)
	}
	both := m.healthy[recordingKey{f.Arch, f.walk()}]
	if both == nil {
		return nil, fmt.Errorf("%w: no %s here", machines.ErrMissing, f.Arch)
	}
	base := both["cgo"].recording
	if f.backend() == "cgo" {
		base = both["purego"].recording
	}
	path, err := both[f.backend()].build(m.root, dir, walkPackage, overlay)
	if err != nil {
		return nil, err
	}
	// The fault may make the walk fail. Compare the calls recorded up to the failure.
	r, failed := f.walk().record(path)
	if r == nil {
		return nil, failed
	}
	for n := 1; ; n++ {
		found := base.differences(r)
		switch {
		case len(found) == 0:
			return nil, failed
		case f.foundBy(&found[0]) || found[0].field != aCall || n == attempts:
			return &found[0], nil
		}
		if err := r.settle(path); err != nil {
			return &found[0], nil // the mutant behaves differently each time
		}
	}
}

// inGuest returns the first difference found inside an emulated machine. The overlay puts the fault into the cgo backend.
// Without an overlay, a difference is an error.
func (m *mutation) inGuest(g *guest, dir, overlay string) (*difference, error) {
	r, err := g.compare(m.proof, dir, overlay, workload{guest: mutantCalls})
	switch {
	case err != nil:
		return nil, err
	case overlay == "" && r.First != "":
		return nil, fmt.Errorf("without a fault: %s", r.First)
	case r.First == "":
		return nil, nil
	}
	return &difference{r.Field, r.First, r.Differ}, nil
}

// foundBy reports whether a difference is the one that the fault must cause.
func (f *fault) foundBy(d *difference) bool {
	return strings.Contains(", "+d.field, ", "+f.Field) && strings.Contains(d.text, f.Words)
}

const (
	pureLinux = "internal/pure/pure_linux.go"
	pureBatch = "internal/pure/batch_linux.go"
	sendGo    = "func sendmsg(sock int32, hdr *unix.Msghdr, flags int) (n uintptr, errno syscall.Errno) {\n"
	sendC     = "\treturn scm_result(syscall(SYS_sendmsg, sock, msg, flags));\n"
	recvC     = "\treturn scm_result(syscall(SYS_recvmsg, sock, msg, flags));\n"
	callGo    = "func (b *batch) call(trap uintptr, sock int32, n, flags int) (int, error) {\n"
	sendAllC  = "\tdone = scm_result(syscall(SYS_sendmmsg, sock, msgs, n, flags));\n"
)

// before inserts lines before a place in a file, and after inserts them after it.
func before(file, place, lines string) []mutant.Edit {
	return []mutant.Edit{{File: file, Old: place, New: lines + place}}
}

func after(file, place, lines string) []mutant.Edit {
	return []mutant.Edit{{File: file, Old: place, New: place + lines}}
}

// allMutants returns faults in each field, each byte of padding and each flag, faults that add or omit a
// system call, and faults that affect only one size.
func allMutants() (list []fault) {
	for _, f := range slices.Concat(paddingFaults(), flagFaults(), mutant.Faults, guestFaults()) {
		if f.Field != "" {
			list = append(list, fault{f})
		}
	}
	return list
}

// guestFaults returns a fault that can be found only inside an emulated machine.
func guestFaults() []mutant.Fault {
	const only = "#ifdef __s390x__\n%s#endif\n"
	return []mutant.Fault{{
		What: "padding after msg_namelen, byte 2, on s390x alone", Arch: "s390x", Field: "padding after msg_namelen",
		Edits: before("csrc/private.h", sendC, fmt.Sprintf(only, inC("msg", 14))),
	}}
}

// paddingFaults returns, for each backend, a fault for each byte of padding.
func paddingFaults() (list []mutant.Fault) {
	const (
		header = "\t(*[56]byte)(unsafe.Pointer(hdr))[%d] = 0x5a\n"
		pairGo = "\tr, errno := sendmsg(sock, &hdr, 0)\n"
		putC   = "\tscm_put(&msg, SCM_RIGHTS, &sendfd, sizeof(sendfd));\n"
	)
	for i := range 4 {
		for _, f := range []struct {
			field string
			often bool
			edits []mutant.Edit
		}{
			{"padding after msg_namelen", i == 0, after(pureLinux, sendGo, fmt.Sprintf(header, 12+i))},
			{"padding after msg_namelen", false, before("csrc/private.h", sendC, inC("msg", 12+i))},
			{"padding after msg_flags", i == 0, after(pureLinux, sendGo, fmt.Sprintf(header, 52+i))},
			{"padding after msg_flags", false, before("csrc/private.h", sendC, inC("msg", 52+i))},
			{"padding after cmsg_data", false, before(pureLinux, pairGo, fmt.Sprintf("\tc.bytes()[unix.CmsgLen(4)+%d] = 0x5a\n", i))},
			{"padding after cmsg_data", i == 3, after("csrc/write_fd.c", putC,
				fmt.Sprintf("\tcontrol.bytes[CMSG_LEN(sizeof(int)) + %d] = 0x5a;\n", i))},
			{"padding after msg_len", false, after(pureBatch, callGo,
				fmt.Sprintf("\t(*[64]byte)(unsafe.Pointer(&b.msgs))[%d] = 0x5a\n", 60+i))},
			{"padding after msg_len", false, before("csrc/send_batch.c", sendAllC, inC("msgs", 60+i))},
		} {
			fault := mutant.Fault{What: fmt.Sprintf("%s, byte %d", f.field, i), Field: f.field, Edits: f.edits}
			if f.often {
				fault.Often = mutant.Record
			}
			list = append(list, fault)
		}
	}
	return list
}

// inC returns a line of C that sets a byte of a structure.
func inC(pointer string, at int) string {
	return fmt.Sprintf("\t((unsigned char *)(size_t)%s)[%d] = 0x5a;\n", pointer, at)
}

// flagFaults returns a fault for each flag, which sets it in every send of pure Go or, for every second
// flag, in every receive of csrc.
func flagFaults() (list []mutant.Fault) {
	for bit := range 31 {
		flag := uint32(1) << bit
		words := recorder.FlagText(flag)
		if bit%2 == 0 {
			list = append(list, mutant.Fault{What: "a send has " + words, Field: "flags", Words: words,
				Edits: after(pureLinux, sendGo, fmt.Sprintf("\tflags |= %#x\n", flag))})
		} else {
			list = append(list, mutant.Fault{What: "a receive has " + words, Field: "flags", Words: words,
				Edits: before("csrc/private.h", recvC, fmt.Sprintf("\tflags |= %#x;\n", flag))})
		}
	}
	return list
}
