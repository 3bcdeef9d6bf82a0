package interop

import (
	"crypto/rand"
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/scm-rights/scm/interop/kernel"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
)

// person is where a transcript has a symbolic name of a process, A or B. Abstract sockets have
// one too: there is one set of these for the whole machine.
var person = regexp.MustCompile(`\b(pid=|creds\()([AB])\b(\)?)`)

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
	return fmt.Sprintf("scm-%s-%d-%d.", ofThisProcess(), p.sides[scenario.RoleA].Pid, p.k.end(scenario.RoleA).Number)
}

// persons tells who A and B are, by number, user and group.
func (p *play) persons(text string) (string, error) {
	var failed error
	text = person.ReplaceAllStringFunc(text, func(m string) string {
		parts := person.FindStringSubmatch(m)
		pid := p.sides[scenario.Role(parts[2][0])].Pid
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

// wanted is what is wanted of this case.
func (p *play) wanted(w scenario.Want, role scenario.Role) (_ scenario.Want, err error) {
	if !p.k.c.Scenario.RunnerPlays(role) {
		return w, nil
	}
	w.Line.Fields = maps.Clone(w.Line.Fields)
	for key, value := range w.Line.Fields {
		switch key {
		case "controllen":
			if n, ok := kernel.Size(value); ok { // or it is *
				w.Line.Fields[key] = strconv.Itoa(n)
			}
		case "control", "creds", "pid":
			value, err = p.persons(key + "=" + value)
			if err != nil {
				return w, err
			}
			w.Line.Fields[key] = strings.TrimPrefix(value, key+"=")
		}
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
