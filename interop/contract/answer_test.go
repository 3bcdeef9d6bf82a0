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

		{"send", "fine", nil, `an answer is ok or err, not fine: "fine"`},
		{"send", "ok", nil, `no n= in the answer to send: "ok"`},
		{"send", "ok n=1 n=1", nil, `n= twice in "ok n=1 n=1"`},
		{"send", "ok n=1 fds=12", []int{12}, `no answer to send has fds=: "ok n=1 fds=12"`},
		{"send", "ok n=1 eof", nil, `no answer to send has the word eof: "ok n=1 eof"`},
		{"recv", "ok n=1 payload=00", nil, `no fds= in the answer to recv: "ok n=1 payload=00"`},
		{"recv", "ok n=1 payload=00 fds=12 mood=good", []int{12}, `no answer to recv has mood=: "ok n=1 payload=00 fds=12 mood=good"`},
		{"recv", "ok n=1 payload=00 fds=- end", nil, `no answer to recv has the word end: "ok n=1 payload=00 fds=- end"`},
		{"recv", "ok n=1 payload=00 fds=12,x,13", []int{12, 13}, `x is no descriptor, nor closed or closed:N at the end: "ok n=1 payload=00 fds=12,x,13"`},
		{"recv", "ok n=1 payload=00 fds=012", nil, `012 is no descriptor, nor closed or closed:N at the end: "ok n=1 payload=00 fds=012"`},
		{"recv", "ok n=1 payload=00 fds=closed,12", []int{12}, `closed is no descriptor, nor closed or closed:N at the end: "ok n=1 payload=00 fds=closed,12"`},
		{"recv", "ok n=1 payload=00 fds=closed:", nil, `closed: is no descriptor, nor closed or closed:N at the end: "ok n=1 payload=00 fds=closed:"`},
		{"recv", "ok n=1 payload=00 fds=- flags=ctrunc,great", nil, `great is no flag: "ok n=1 payload=00 fds=- flags=ctrunc,great"`},
		{"recv", "err", nil, `an error is err and its name: "err"`},
		{"recv", "err 4095", nil, ""},
		{"recv", "err 4096", nil, `4096 is no errno: "err 4096"`},
		{"recv", "err epipe", nil, `epipe is no errno: "err epipe"`},
		{"recv", "err EPIPE EBADF", nil, `an error is err and its name: "err EPIPE EBADF"`},
		{"recv", "err +32", nil, `+32 is no errno: "err +32"`},
		{"send", "ok n=+1", nil, `n=+1 is no number: "ok n=+1"`},
		{"send", "ok n=99999999999999999999", nil, `n=99999999999999999999 is no number: "ok n=99999999999999999999"`},
		{"recv", "ok n=0 payload=- fds=- flags=", nil, `flags= is empty: "ok n=0 payload=- fds=- flags="`},
		{"recv", "ok n=0 payload=- fds=- flags=eor,eor", nil, `eor is there twice: "ok n=0 payload=- fds=- flags=eor,eor"`},
		{"recv", "ok n=0 payload=- fds=- eof eof", nil, `eof is there twice: "ok n=0 payload=- fds=- eof eof"`},
		{"recv", "err EPIPE fds=12", []int{12}, `an error is err and its name: "err EPIPE fds=12"`},
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

// Whatever a peer answers, up to the longest line, an error about it is short.
func TestErrorsOfLongAnswers(t *testing.T) {
	long := strings.Repeat("x", MaxLine-100)
	for _, answer := range []string{
		long, "  " + long, "ok  " + long, "ok n=1 n=" + long, "ok " + long + "=1 " + "n=1", "ok n=1 " + long,
		"ok n=1 payload=00 fds=" + long, "ok n=1 payload=00 fds=- flags=" + long, "ok n=1 payload=00 fds=- " + long, "ok n=1 payload=00 fds=- " + long + "=1", "err " + long + " 1",
	} {
		if _, _, err := ParseAnswer(Commands, "recv", answer); err == nil || len(err.Error()) > 1000 {
			t.Errorf("%.40s…: an error of %d bytes: %.100v", answer, len(fmt.Sprint(err)), err)
		}
	}
}
