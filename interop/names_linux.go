package interop

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/scm-rights/scm/interop/fact"
	"github.com/scm-rights/scm/interop/judge"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
)

// fillIn returns the text of a step as it is sent to the side. It replaces each file name with the side's
// descriptor for that file. If the runner itself takes this role in the scenario, fillIn also replaces the
// symbolic names of processes and abstract sockets with the actual ones.
func (cr *caseRun) fillIn(sd *side, st scenario.Step) (string, error) {
	text, err := scenario.MapNames(st.Text, func(name string) (int, error) { return cr.judge.FD(sd.role, name) })
	if err != nil || !sd.byRunner {
		return text, err
	}
	text = strings.ReplaceAll(text, judge.Abstract, judge.Abstract+cr.socketPrefix())
	return judge.FillInProcesses(text, cr.owner)
}

// owner identifies the process in a role and its user.
func (o *observer) owner(role scenario.Role) (id fact.Owner) {
	var err error
	id.PID = o.sides[role].Pid
	if id.UID, id.GID, err = witness.Owner(id.PID); err != nil {
		id.Err = err.Error()
	}
	return id
}

// owners identifies the two processes if the answer that a side is expected to give names one of them.
func (o *observer) owners(sd *side, st scenario.Step) (owners [2]fact.Owner) {
	if sd.byRunner && judge.NamesProcesses(st) {
		for _, role := range roles {
			owners[slices.Index(roles, role)] = o.owner(role)
		}
	}
	return owners
}

// processRandom is part of the names of all abstract sockets of this process. PIDs alone would not be unique,
// because another process in the same network namespace can run in its own PID namespace.
var processRandom = sync.OnceValue(func() string { return rand.Text()[:12] })

// socketPrefix makes the names of a case's abstract sockets unique.
func (cr *caseRun) socketPrefix() string {
	a := cr.sides[scenario.RoleA]
	return fmt.Sprintf("scm-%s-%d-%d.", processRandom(), a.Pid, a.socket.FD)
}
