package interop

import (
	"fmt"
	"testing"

	"github.com/scm-rights/scm/interop/process"
)

// judge decides by the text of an answer alone: these sides have no process.
func TestJudge(t *testing.T) {
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
		{"no answer", one, "", side{}, "nothing sent"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := mustParse(t, rule+"on stream\nfiles a=pipe-r b=pipe-r\nA> send payload=00 fds=a\nA< ok n=1\nB> recv bytes=1 fds=1\n"+c.expected)
			steps := s.Steps[len(s.Steps)-2:]
			sd := c.side
			sd.peerProcess = &peerProcess{}
			sd.command = command{steps[0].Command, steps[0].Text}
			a := reply{step: steps[1], side: &sd, text: c.text, wants: steps[1].Answers}
			if c.text == "" {
				a.err = process.ErrHang
			}
			if got := describe(a.judge()); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// describe lists what a judgment has.
func describe(j judgment) (text string) {
	add := func(has bool, format string, args ...any) {
		if has && text != "" {
			text += ", "
		}
		if has {
			text += fmt.Sprintf(format, args...)
		}
	}
	if len(j.fds) > 0 {
		text = fmt.Sprintf("fds %v ", j.fds)
	}
	if len(j.fits) > 0 {
		text += fmt.Sprintf("fits %v", j.fits)
	} else if j.check != "" {
		text += string(j.check)
	}
	add(j.ends == errCaseOver, "ends the case")
	add(j.ends == errSessionOver, "ends the session")
	add(j.nothingSent, "nothing sent")
	add(j.refusal, "refusal")
	add(j.unsupported, "unsupported")
	add(j.notRun != "", "not run")
	add((j.check == "") != (j.text == ""), "a check without a text, or the other way round")
	return text
}
