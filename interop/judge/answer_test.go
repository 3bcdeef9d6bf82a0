package judge

import (
	"fmt"
	"testing"

	"github.com/scm-rights/scm/interop/fact"
	"github.com/scm-rights/scm/interop/scenario"
)

// read decides by the text of an answer alone.
func TestRead(t *testing.T) {
	const (
		one      = "B< ok n=1 payload=00 fds=a\n"
		refusals = "B< err EPIPE\n | err EIO  # broken\n | err lib  # refused\n"
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
		{"an error", one, "err EIO", side{}, "answer, ends the case, nothing sent"},
		{"two alternatives", one + " | ok n=1 payload=00 fds=b  # either\n", "ok n=1 payload=00 fds=12", side{}, "fds [12] fits [[a] [b]]"},
		{"unsupported, and can= offers it", one, "unsupported", side{}, "contract, ends the case"},
		{"unsupported after a refusal", one, "unsupported", side{refused: true}, "unsupported"},
		{"the connection is gone", refusals, "err EPIPE", side{}, "fits [[]], refusal"},
		{"an errno", refusals, "err EIO", side{}, "fits [[]]"},
		{"an error of the library", refusals, "err lib closed", side{}, "fits [[]], refusal"},
		{"a full disk at the runner's side", one, "err ENOSPC", side{byRunner: true}, "not run"},
		{"a full disk at a peer", one, "err ENOSPC", side{}, "answer, ends the case, nothing sent"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := mustParse(t, rule+"on stream\nfiles a=pipe-r b=pipe-r\nA> send payload=00 fds=a\nA< ok n=1\nB> recv bytes=1 fds=1\n"+c.expected)
			steps := s.Steps[len(s.Steps)-2:]
			sd := c.side
			sd.Process, sd.peer = NewProcess(nil), &scenario.Peer{}
			sd.command, sd.text = steps[0].Command, steps[0].Text
			j := &Judge{Setup: Setup{Prefix: "p."}}
			if got := describe(j.read(&sd, fact.Fact{Step: steps[1], Said: c.text})); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// describe lists what an answer is.
func describe(a answer) (text string) {
	add := func(has bool, format string, args ...any) {
		if has && text != "" {
			text += ", "
		}
		if has {
			text += fmt.Sprintf(format, args...)
		}
	}
	if len(a.fds) > 0 {
		text = fmt.Sprintf("fds %v ", a.fds)
	}
	if len(a.fits) > 0 {
		text += fmt.Sprintf("fits %v", a.fits)
	} else if a.check != "" {
		text += string(a.check)
	}
	add(a.ends == EndCase, "ends the case")
	add(a.ends == EndSession, "ends the session")
	add(a.nothingSent, "nothing sent")
	add(a.refusal, "refusal")
	add(a.unsupported, "unsupported")
	add(a.notRun != "", "not run")
	add((a.check == "") != (a.text == ""), "a check without a text, or the other way round")
	return text
}
