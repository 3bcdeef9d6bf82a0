package interop

import (
	"crypto/rand"
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
)

// A transcript has symbolic names of some things: the processes
// A and B, and abstract sockets, of which there is one set for the whole machine.
var (
	credsOf = regexp.MustCompile(`\bcreds\(([AB])\)`)
	pidOf   = regexp.MustCompile(`\b(pid=|creds\()([AB])\b`)
)

const abstract = "abstract:"

// realNames puts the real names of this case in the place of a transcript's.
func (p *play) realNames(text string) (string, error) {
	text = strings.ReplaceAll(text, abstract, abstract+p.prefix())
	return p.persons(text)
}

// symbolicNames puts a transcript's names for sockets in the place of the real ones.
func (p *play) symbolicNames(answer string) string {
	return strings.ReplaceAll(answer, abstract+p.prefix(), abstract)
}

// ofThisProcess is in the names of all abstract sockets of this process. Another one with the
// same network namespace may have the same process numbers, in a PID namespace of its own.
var ofThisProcess = sync.OnceValue(func() string { return rand.Text()[:12] })

// prefix makes the names of a case's abstract sockets its own.
func (p *play) prefix() string {
	return fmt.Sprintf("scm-%s-%d-%d.", ofThisProcess(), p.sides[scenario.RoleA].Pid, p.k.sock[scenario.RoleA])
}

// persons tells who A and B are, by number, user and group.
func (p *play) persons(text string) (string, error) {
	var failed error
	text = credsOf.ReplaceAllStringFunc(text, func(m string) string {
		pid := p.sides[scenario.Role(m[len("creds(")])].Pid
		uid, gid, err := witness.Owner(pid)
		if err != nil {
			failed = err
		}
		return fmt.Sprintf("creds(%d,%d,%d)", pid, uid, gid)
	})
	text = pidOf.ReplaceAllStringFunc(text, func(m string) string {
		return m[:len(m)-1] + strconv.Itoa(p.sides[scenario.Role(m[len(m)-1])].Pid)
	})
	return text, failed
}

// wanted is what is wanted of this case.
func (p *play) wanted(w scenario.Want, role scenario.Role) (scenario.Want, error) {
	if !p.k.c.Scenario.RunnerPlays(role) {
		return w, nil
	}
	w.Line.Fields = maps.Clone(w.Line.Fields)
	for key, value := range w.Line.Fields {
		if n, err := contract.Size(value); key == "controllen" && err == nil {
			w.Line.Fields[key] = strconv.Itoa(n)
		}
		if key != "control" && key != "creds" && key != "pid" {
			continue
		}
		text, err := p.persons(key + "=" + value)
		if err != nil {
			return w, err
		}
		w.Line.Fields[key] = strings.TrimPrefix(text, key+"=")
	}
	return w, nil
}

// make takes a new number of the runner's side into account, as a file that can be
// passed from there.
func (p *play) make(role scenario.Role, name string, number int) error {
	f := &witness.File{FileSpec: scenario.FileSpec{Name: name, Owner: role, Kind: scenario.NewName}, Own: -1, Other: -1, Number: number}
	var err error
	if f.Identity, err = witness.Identify(p.sides[role].Pid, number); err != nil {
		return err
	}
	p.made = append(p.made, f)
	return nil
}
