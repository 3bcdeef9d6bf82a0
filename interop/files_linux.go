package interop

import (
	"fmt"
	"os"
	"slices"

	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/interop/kinds"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
	"golang.org/x/sys/unix"
)

// roles are the two roles of a case.
var roles = []scenario.Role{scenario.RoleA, scenario.RoleB}

// caseFiles contains the files that are created for one case. They are a pair of
// connected sockets and the files that the scenario names.
type caseFiles struct {
	scenario.Case
	sockets []*witness.File // one for each of roles; a peer can pass and leak them too
	named   []*witness.File

	byID    map[procfs.FileID][]*witness.File // of named
	initial map[*witness.File]witness.State   // states of named, before any peer had them
}

func newCaseFiles(c scenario.Case, dir string) (f *caseFiles, err error) {
	f = &caseFiles{Case: c, byID: map[procfs.FileID][]*witness.File{}}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	types := map[string]int{"stream": unix.SOCK_STREAM, "dgram": unix.SOCK_DGRAM, "seqpacket": unix.SOCK_SEQPACKET}
	pair, err := unix.Socketpair(unix.AF_UNIX, types[c.Type]|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return f, fmt.Errorf("socketpair: %w", err)
	}
	for i, role := range roles {
		spec := scenario.FileSpec{Name: scenario.SockNames[role], Owner: role, Kind: "sock"}
		f.sockets = append(f.sockets, &witness.File{FileSpec: spec, Own: pair[i], Other: -1})
	}
	for _, socket := range f.sockets {
		if socket.FileID, err = procfs.Identify(os.Getpid(), socket.Own); err != nil {
			return f, err
		}
	}
	for _, spec := range c.Scenario.Files {
		var file *witness.File
		if name, ok := spec.EndOf(); ok {
			i := slices.IndexFunc(f.named, func(file *witness.File) bool { return file.Name == name })
			file, err = f.named[i].OtherEnd(spec)
		} else {
			file, err = kinds.New(spec, dir)
		}
		if err != nil {
			return f, err
		}
		f.named = append(f.named, file)
		f.byID[file.FileID] = append(f.byID[file.FileID], file)
	}
	f.initial = f.currentStates()
	return f, nil
}

// currentStates returns the present state of each named file.
func (f *caseFiles) currentStates() map[*witness.File]witness.State {
	states := map[*witness.File]witness.State{}
	for _, file := range f.named {
		if state, ok := witness.StateOf(file); ok {
			states[file] = state
		}
	}
	return states
}

func (f *caseFiles) socket(role scenario.Role) *witness.File {
	return f.sockets[slices.Index(roles, role)]
}

// ownedBy returns the files that the peer in this role is started with: its socket first.
func (f *caseFiles) ownedBy(role scenario.Role) []*witness.File {
	owned := []*witness.File{f.socket(role)}
	for _, file := range f.named {
		if file.Owner == role {
			owned = append(owned, file)
		}
	}
	return owned
}

func (f *caseFiles) close() {
	for _, file := range slices.Concat(f.sockets, f.named) {
		file.Close()
	}
}
