package judge

import (
	"fmt"
	"testing"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/fact"
	"github.com/scm-rights/scm/interop/scenario"
)

// read decides by the text of an answer alone.
func TestRead(t *testing.T) {
	const (
		one      = "B< ok n=1 payload=00 fds=a\n"
		refusals = "B< err EPIPE\n | err ECONNRESET  # reset\n | err EIO  # broken\n | err lib  # refused\n"
	)
	for _, c := range []struct {
		name, expected, text string
		side                 side
		want                 string
	}{
		{"right", one, "ok n=1 payload=00 fds=12", side{}, "fds [12] fits [[a]]"},
		{"other bytes", one, "ok n=1 payload=01 fds=12", side{}, "fds [12] answer, ends the case"},
		{"not of the contract", one, "ok n=1 payload=00 fds=12,x", side{}, "fds [12] contract, ends the session"},
		{"the end", one, "ok n=0 payload=- fds=-", side{}, "answer, ends the case, nothing sent"},
		{"an empty message of a byte", one, "ok n=0 payload=00 fds=-", side{}, "answer, ends the case"},
		{"a byte of an empty message", one, "ok n=1 payload=- fds=-", side{}, "answer, ends the case"},
		{"an error", one, "err EIO", side{}, "answer, ends the case, nothing sent"},
		{"an error that may also be any", "B< err EIO\n | err  # refused\n", "err EIO", side{}, "fits [[] []]"},
		{"two alternatives", one + " | ok n=1 payload=00 fds=b  # either\n", "ok n=1 payload=00 fds=12", side{}, "fds [12] fits [[a] [b]]"},
		{"unsupported, and can= offers it", one, "unsupported", side{}, "contract, ends the case"},
		{"unsupported after a refusal", one, "unsupported", side{refused: true}, "unsupported"},
		{"the connection is gone", refusals, "err EPIPE", side{}, "fits [[]], refusal"},
		{"the connection was reset", refusals, "err ECONNRESET", side{}, "fits [[]], refusal"},
		{"an errno", refusals, "err EIO", side{}, "fits [[]]"},
		{"an error of the library", refusals, "err lib closed", side{}, "fits [[]], refusal"},
		{"a full disk at the runner's side", one, "err ENOSPC", side{byRunner: true}, "not run"},
		{"a full quota at the runner's side", one, "err EDQUOT", side{byRunner: true}, "not run"},
		{"a read-only disk at the runner's side", one, "err EROFS", side{byRunner: true}, "not run"},
		{"a full table of files at the runner's side", one, "err ENFILE", side{byRunner: true}, "not run"},
		{"a full disk at a peer", one, "err ENOSPC", side{}, "answer, ends the case, nothing sent"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := mustParse(t, rule+"on stream\nfiles a=pipe-r b=pipe-r\nA> send payload=00 fds=a\nA< ok n=1\nB> recv bytes=1 fds=1\n"+c.expected)
			steps := s.Steps[len(s.Steps)-2:]
			sd := c.side
			sd.Process, sd.peer = NewProcess(nil), &scenario.Peer{}
			sd.command, sd.text = steps[0].Command, steps[0].Text
			sd.setup = &Setup{Prefix: "p."}
			a := answer{side: &sd, step: steps[1], Answer: fact.Answer{Said: c.text}}
			if got := describe(a.read()); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// Every peer supports the basic commands, on every socket type that it lists in can=.
func TestBasicCommands(t *testing.T) {
	for command, want := range map[string]bool{
		"send payload=00 fds=4":                true,
		"send payload=00 fds=9":                false, // it does not have 9
		"send payload=00 fds=4,4":              false,
		"send payload=- fds=4":                 false,
		"send payload=@4400 fds=4":             false,
		"send payload=00,00 fds=4":             false,
		"send payload=00 fds=4 flags=dontwait": false,
		"send payload=00 fds=4 again":          false,
		"recv bytes=1 fds=1":                   true,
		"recv bytes=0 fds=1":                   false,
		"recv bytes=1,1 fds=1":                 false,
		"recv bytes=1 fds=2":                   false,
		"recv bytes=1 fds=1 flags=peek":        false,
		"close bytes=1 fds=1":                  false,
	} {
		line, err := contract.ParseLine(command)
		if sd := (side{Process: NewProcess([]int{4}), command: line}); err != nil || sd.hasBasicCommand() != want {
			t.Errorf("%s: basic: %t, %v; want %t", command, sd.hasBasicCommand(), err, want)
		}
	}
}

// The names of processes in an expected answer stand for their IDs.
func TestFillInProcesses(t *testing.T) {
	owners := [2]fact.Owner{{PID: 7, UID: 8, GID: 9}, {PID: 17, Err: "no such process"}}
	for _, c := range []struct{ text, want string }{
		{"pid=A", "pid=7"},
		{"pid=B", "pid=17"},
		{"control=creds(A),rights(a)", "control=creds(7,8,9),rights(a)"},
		{"control=creds(B)", "no such process"},
	} {
		got, err := FillInProcesses(c.text, owners)
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.text, got, c.want)
		}
	}
}

// describe lists what a reading is.
func describe(r reading) (text string) {
	add := func(has bool, format string, args ...any) {
		if has && text != "" {
			text += ", "
		}
		if has {
			text += fmt.Sprintf(format, args...)
		}
	}
	if len(r.fds) > 0 {
		text = fmt.Sprintf("fds %v ", r.fds)
	}
	if len(r.fits) > 0 {
		text += fmt.Sprintf("fits %v", r.fits)
	} else if r.check != "" {
		text += string(r.check)
	}
	add(r.ends == errCaseOver && r.check != "", "ends the case")
	add(r.ends != nil && r.ends != errCaseOver, "ends the session")
	add(r.nothingSent, "nothing sent")
	add(r.refusal, "refusal")
	add(r.ends != nil && r.check == "" && r.text == "", "unsupported")
	add(r.check == "" && r.text != "", "not run")
	add(r.check != "" && (r.text == "" || r.ends == nil), "a check without a text, or that ends nothing")
	return text
}
