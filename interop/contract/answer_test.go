package contract

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestParseAnswer(t *testing.T) {
	for _, c := range []struct {
		command, answer string
		fds             []int
		err             string
	}{
		{"send", "ok n=1", nil, ""},
		{"send", "ok n=-1", nil, ""},
		{"recv", "ok n=0 payload=- fds=-", nil, ""},
		{"recv", "ok fds=12,13 payload=00 n=1 flags=ctrunc,0x40 eof", []int{12, 13}, ""},
		{"recv", "ok n=0 payload=- fds=closed", nil, ""},
		{"recv", "ok n=0 payload=- fds=7,closed:2", []int{7}, ""},
		{"close", "ok", nil, ""},
		{"recv", "err EPIPE", nil, ""},
		{"recv", "err lib", nil, ""},
		{"recv", "err lib fds=12 and so on", nil, ""},

		{"send", "fine", nil, `an answer begins with ok or err, not fine: "fine"`},
		{"send", "ok", nil, `the answer to send must have n=: "ok"`},
		{"send", "ok n=1 n=1", nil, `duplicate field n= in "ok n=1 n=1"`},
		{"send", "ok n=1 fds=12", []int{12}, `the answer to send cannot have fds=: "ok n=1 fds=12"`},
		{"send", "ok n=1 eof", nil, `the answer to send cannot have the word eof: "ok n=1 eof"`},
		{"recv", "ok n=1 payload=00", nil, `the answer to recv must have fds=: "ok n=1 payload=00"`},
		{"recv", "ok n=1 payload=00 fds=12 mood=good", []int{12}, `the answer to recv cannot have mood=: "ok n=1 payload=00 fds=12 mood=good"`},
		{"recv", "ok n=1 payload=00 fds=- end", nil, `the answer to recv cannot have the word end: "ok n=1 payload=00 fds=- end"`},
		{"recv", "ok n=1 payload=00 fds=12,x,13", []int{12, 13}, `x is not a descriptor, and only the last item can be closed or closed:N: "ok n=1 payload=00 fds=12,x,13"`},
		{"recv", "ok n=1 payload=00 fds=012", nil, `012 is not a descriptor, and only the last item can be closed or closed:N: "ok n=1 payload=00 fds=012"`},
		{"recv", "ok n=1 payload=00 fds=closed,12", []int{12}, `closed is not a descriptor, and only the last item can be closed or closed:N: "ok n=1 payload=00 fds=closed,12"`},
		{"recv", "ok n=1 payload=00 fds=closed:", nil, `closed: is not a descriptor, and only the last item can be closed or closed:N: "ok n=1 payload=00 fds=closed:"`},
		{"recv", "ok n=1 payload=00 fds=- flags=ctrunc,great", nil, `unknown flag great: "ok n=1 payload=00 fds=- flags=ctrunc,great"`},
		{"recv", "err", nil, `err must be followed by one word, an errno or lib: "err"`},
		{"recv", "err 4095", nil, ""},
		{"recv", "err 4096", nil, `unknown errno 4096: "err 4096"`},
		{"recv", "err epipe", nil, `unknown errno epipe: "err epipe"`},
		{"recv", "err EPIPE EBADF", nil, `err must be followed by one word, an errno or lib: "err EPIPE EBADF"`},
		{"recv", "err +32", nil, `unknown errno +32: "err +32"`},
		{"send", "ok n=+1", nil, `n=+1 is not an integer: "ok n=+1"`},
		{"send", "ok n=99999999999999999999", nil, `n=99999999999999999999 is not an integer: "ok n=99999999999999999999"`},
		{"recv", "ok n=0 payload=- fds=- flags=", nil, `flags= is empty: "ok n=0 payload=- fds=- flags="`},
		{"recv", "ok n=0 payload=- fds=- flags=eor,eor", nil, `duplicate eor: "ok n=0 payload=- fds=- flags=eor,eor"`},
		{"recv", "ok n=0 payload=- fds=- eof eof", nil, `duplicate eof: "ok n=0 payload=- fds=- eof eof"`},
		{"recv", "err EPIPE fds=12", []int{12}, `err must be followed by one word, an errno or lib: "err EPIPE fds=12"`},
	} {
		_, fds, err := ParseAnswer(Commands, c.command, c.answer)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if text != c.err || !slices.Equal(fds, c.fds) {
			t.Errorf("%s, %q: got %v and %q, want %v and %q", c.command, c.answer, fds, text, c.fds, c.err)
		}
	}
}

// An error is short even if the answer is as long as a line can be.
func TestErrorsOfLongAnswers(t *testing.T) {
	long := strings.Repeat("x", MaxLine-100)
	for _, answer := range []string{
		long, "  " + long, "ok  " + long, "ok n=1 n=" + long, "ok " + long + "=1 " + "n=1", "ok n=1 " + long,
		"ok n=1 payload=00 fds=" + long, "ok n=1 payload=00 fds=- flags=" + long, "ok n=1 payload=00 fds=- " + long, "ok n=1 payload=00 fds=- " + long + "=1", "err " + long + " 1",
	} {
		if _, _, err := ParseAnswer(Commands, "recv", answer); err == nil || len(err.Error()) > 1000 {
			t.Errorf("%.40s…: got an error of %d bytes: %.100v", answer, len(fmt.Sprint(err)), err)
		}
	}
}
