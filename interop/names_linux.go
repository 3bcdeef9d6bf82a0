package interop

import (
	"crypto/rand"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/interop/kernel"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
)

// fillIn returns the text of a step as it is sent to the side. It replaces each file name with the side's
// descriptor for that file. If the runner itself takes this role in the scenario, fillIn also replaces the
// symbolic names of processes and abstract sockets with the actual ones.
func (cr *caseRun) fillIn(sd *side, st scenario.Step) (string, error) {
	text, err := scenario.MapNames(st.Text, func(name string) (int, error) { return cr.descriptor(sd, name) })
	if err != nil || !sd.byRunner {
		return text, err
	}
	text = strings.ReplaceAll(text, abstract, abstract+cr.socketPrefix())
	return cr.fillInProcesses(text)
}

// descriptor returns the side's descriptor for the file with the given name.
func (cr *caseRun) descriptor(sd *side, name string) (int, error) {
	if fd, err := strconv.ParseInt(name, 0, 64); err == nil {
		return int(fd), nil
	}
	if fd, ok := sd.received[name]; ok {
		return fd, nil
	}
	if file := cr.file(name); file != nil && file.Owner == sd.role {
		return file.FD, nil
	}
	return 0, fmt.Errorf("%s has no %q", sd.role, name)
}

// file returns the file of this name, or nil.
func (cr *caseRun) file(name string) *witness.File {
	for _, file := range cr.allFiles() {
		if file.Name == name {
			return file
		}
	}
	return nil
}

func (cr *caseRun) allFiles() []*witness.File {
	return slices.Concat(cr.named, cr.sockets, cr.made)
}

// addMade adds the file behind a new descriptor of one of the runner's own processes to the files of the case,
// so that the side can pass it.
func (cr *caseRun) addMade(sd *side, name string, fd int) error {
	id, err := procfs.Identify(sd.Pid, fd)
	if err != nil {
		return err
	}
	spec := scenario.FileSpec{Name: name, Owner: sd.role, Kind: scenario.NewName}
	cr.made = append(cr.made, &witness.File{FileSpec: spec, FileID: id, Own: -1, Other: -1, FD: fd})
	return nil
}

// abstract is the prefix of the name of an abstract socket. A transcript uses symbolic names, because all
// processes in a network namespace share the actual ones.
const abstract = "abstract:"

// processRandom is part of the names of all abstract sockets of this process. PIDs alone would not be unique,
// because another process in the same network namespace can run in its own PID namespace.
var processRandom = sync.OnceValue(func() string { return rand.Text()[:12] })

// socketPrefix makes the names of a case's abstract sockets unique.
func (cr *caseRun) socketPrefix() string {
	a := cr.sides[scenario.RoleA]
	return fmt.Sprintf("scm-%s-%d-%d.", processRandom(), a.Pid, a.socket.FD)
}

// processForm matches the symbolic name of a process, A or B, in a transcript.
var processForm = regexp.MustCompile(`\b(pid=|creds\()([AB])\b(\)?)`)

// fillInProcesses replaces A and B with their PIDs or, in credentials, PID, UID and GID.
func (cr *caseRun) fillInProcesses(text string) (string, error) {
	var failed error
	text = processForm.ReplaceAllStringFunc(text, func(m string) string {
		parts := processForm.FindStringSubmatch(m)
		pid := cr.sides[scenario.Role(parts[2][0])].Pid
		if parts[3] == "" {
			return parts[1] + strconv.Itoa(pid)
		}
		uid, gid, err := witness.Owner(pid)
		if err != nil {
			failed = err
		}
		return fmt.Sprintf("creds(%d,%d,%d)", pid, uid, gid)
	})
	return text, failed
}

// forComparison returns an answer and the alternatives of its step in a form in which they can be compared. It
// changes nothing unless the runner itself takes this role in the scenario. It replaces the actual names of
// abstract sockets in the answer with the symbolic ones from the transcript. In the alternatives, it replaces
// the process names A and B with the actual IDs, and symbolic lengths with byte counts.
func (cr *caseRun) forComparison(sd *side, st scenario.Step, answer string) (string, []scenario.Answer, error) {
	if !sd.byRunner {
		return answer, st.Answers, nil
	}
	answer = strings.ReplaceAll(answer, abstract+cr.socketPrefix(), abstract)
	wants := slices.Clone(st.Answers)
	for i := range wants {
		fields := maps.Clone(wants[i].Line.Fields)
		for key, value := range fields {
			switch key {
			case "controllen":
				if n, ok := kernel.Size(value); ok { // otherwise it is *
					fields[key] = strconv.Itoa(n)
				}
			case "control", "creds", "pid":
				value, err := cr.fillInProcesses(key + "=" + value)
				if err != nil {
					return answer, nil, err
				}
				fields[key] = strings.TrimPrefix(value, key+"=")
			}
		}
		wants[i].Line.Fields = fields
	}
	return answer, wants, nil
}
