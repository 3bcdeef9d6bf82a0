package interop

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/interop/actor"
)

// A transcript calls some things by names that are not the world's: the processes
// A and B, and abstract sockets, of which there is one set for the whole machine.
var (
	credsOf = regexp.MustCompile(`\bcreds\(([AB])\)`)
	pidOf   = regexp.MustCompile(`\b(pid=|creds\()([AB])\b`)
)

const abstract = "abstract:"

// world puts the world's names in the place of a transcript's.
func (p *play) world(text string) (string, error) {
	text = strings.ReplaceAll(text, abstract, abstract+p.prefix())
	return p.persons(text)
}

// unworld puts a transcript's names for sockets in the place of the world's.
func (p *play) unworld(answer string) string {
	return strings.ReplaceAll(answer, abstract+p.prefix(), abstract)
}

// prefix makes the names of a case's abstract sockets its own.
func (p *play) prefix() string {
	return fmt.Sprintf("scm-%d-%d.", p.sides[RoleA].pid, p.k.sock[RoleA])
}

// persons tells who A and B are, by number, user and group.
func (p *play) persons(text string) (string, error) {
	var failed error
	text = credsOf.ReplaceAllStringFunc(text, func(m string) string {
		pid := p.sides[Role(m[len("creds(")])].pid
		uid, gid, err := owner(pid)
		if err != nil {
			failed = err
		}
		return fmt.Sprintf("creds(%d,%d,%d)", pid, uid, gid)
	})
	text = pidOf.ReplaceAllStringFunc(text, func(m string) string {
		return m[:len(m)-1] + strconv.Itoa(p.sides[Role(m[len(m)-1])].pid)
	})
	return text, failed
}

// owner tells the effective user and group of a process.
func owner(pid int) (uid, gid int, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for l := range strings.Lines(string(text)) {
		words := strings.Fields(l)
		switch {
		case len(words) < 3:
		case words[0] == "Uid:":
			uid, err = strconv.Atoi(words[2])
		case words[0] == "Gid:":
			gid, err = strconv.Atoi(words[2])
		}
		if err != nil {
			return 0, 0, err
		}
	}
	return uid, gid, nil
}

// wanted is what is wanted of this case.
func (p *play) wanted(w Want, role Role) (Want, error) {
	if !p.k.c.Scenario.runs(role) {
		return w, nil
	}
	w.line.fields = maps.Clone(w.line.fields)
	for key, value := range w.line.fields {
		if n, err := actor.Size(value); key == "controllen" && err == nil {
			w.line.fields[key] = strconv.Itoa(n)
		}
		if key != "control" && key != "creds" && key != "pid" {
			continue
		}
		text, err := p.persons(key + "=" + value)
		if err != nil {
			return w, err
		}
		w.line.fields[key] = strings.TrimPrefix(text, key+"=")
	}
	return w, nil
}

// make takes a new number of the runner's side into account, as a file that can be
// passed from there.
func (p *play) make(role Role, name string, number int) error {
	f := &caseFile{FileSpec: FileSpec{Name: name, Owner: role, Kind: newName}, own: -1, other: -1, number: number}
	var err error
	if f.identity, err = identify(p.sides[role].pid, number); err != nil {
		return err
	}
	p.made = append(p.made, f)
	return nil
}
