package contract

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestParseAnswer(t *testing.T) {
	for _, c := range []struct {
		verb, answer string
		numbers      []int
		err          string
	}{
		{"send", "ok n=1", nil, ""},
		{"send", "ok n=-1", nil, ""},
		{"recv", "ok n=0 payload=- fds=-", nil, ""},
		{"recv", "ok fds=12,13 payload=00 n=1 flags=ctrunc,0x40 eof", []int{12, 13}, ""},
		{"recv", "ok n=0 payload=- fds=closed", nil, ""},
		{"recv", "ok n=0 payload=- fds=7,closed:2", []int{7}, ""},
		{"recv", "ok n=0 payload=- fds=-5", []int{-5}, ""},
		{"close", "ok", nil, ""},
		{"end", "ok", nil, ""},
		{"recv", "err EPIPE", nil, ""},
		{"recv", "err 32", nil, ""},
		{"recv", "err lib", nil, ""},
		{"recv", "err lib fds=12 and so on", nil, ""},

		{"send", "fine", nil, `neither ok nor err: "fine"`},
		{"send", "OK n=1", nil, `neither ok nor err: "OK n=1"`},
		{"send", "ok", nil, `no n= in the answer to send: "ok"`},
		{"send", "ok n=", nil, `no n= in the answer to send: "ok n="`},
		{"send", "ok n=1 n=1", nil, `n= twice in "ok n=1 n=1"`},
		{"send", "ok n=1 fds=12", []int{12}, `no answer to send has fds=: "ok n=1 fds=12"`},
		{"send", "ok n=1 eof", nil, `no answer to send has the word eof: "ok n=1 eof"`},
		{"recv", "ok n=1 payload=00", nil, `no fds= in the answer to recv: "ok n=1 payload=00"`},
		{"recv", "ok n=1 fds=12", []int{12}, `no payload= in the answer to recv: "ok n=1 fds=12"`},
		{"recv", "ok n=1 payload=00 fds=12 mood=good", []int{12}, `no answer to recv has mood=: "ok n=1 payload=00 fds=12 mood=good"`},
		{"recv", "ok n=1 payload=00 fds=- end", nil, `no answer to recv has the word end: "ok n=1 payload=00 fds=- end"`},
		{"recv", "ok n=1 payload=00 fds=12,x,13", []int{12, 13}, `x is no number: "ok n=1 payload=00 fds=12,x,13"`},
		{"recv", "ok n=1 payload=00 fds=+12", nil, `+12 is no number: "ok n=1 payload=00 fds=+12"`},
		{"recv", "ok n=1 payload=00 fds=012", nil, `012 is no number: "ok n=1 payload=00 fds=012"`},
		{"recv", "ok n=1 payload=00 fds=12,", []int{12}, ` is no number: "ok n=1 payload=00 fds=12,"`},
		{"recv", "ok n=1 payload=00 fds=closed,12", []int{12}, `closed or closed:N ends the list: "ok n=1 payload=00 fds=closed,12"`},
		{"recv", "ok n=1 payload=00 fds=closed:", nil, `closed or closed:N ends the list: "ok n=1 payload=00 fds=closed:"`},
		{"recv", "ok n=1 payload=00 fds=closed:0", nil, `closed or closed:N ends the list: "ok n=1 payload=00 fds=closed:0"`},
		{"recv", "ok n=1 payload=00 fds=closed2", nil, `closed or closed:N ends the list: "ok n=1 payload=00 fds=closed2"`},
		{"recv", "ok n=1 payload=00 fds=- flags=ctrunc,great", nil, `great is no flag: "ok n=1 payload=00 fds=- flags=ctrunc,great"`},
		{"recv", "ok n=1 payload=00 fds=- flags=-,ctrunc", nil, `- is no flag: "ok n=1 payload=00 fds=- flags=-,ctrunc"`},
		{"close", "ok n=1", nil, `no answer to close has n=: "ok n=1"`},
		{"end", "ok then", nil, `no answer to end has the word then: "ok then"`},
		{"recv", "err", nil, `an error is err and its name: "err"`},
		{"recv", "err EWOULDBLOCK", nil, ""},
		{"recv", "err 4095", nil, ""},
		{"recv", "err 0", nil, `0 is no errno: "err 0"`},
		{"recv", "err 4096", nil, `4096 is no errno: "err 4096"`},
		{"recv", "err a", nil, `a is no errno: "err a"`},
		{"recv", "err EPIPES", nil, `EPIPES is no errno: "err EPIPES"`},
		{"send", "err epipe", nil, `epipe is no errno: "err epipe"`},
		{"recv", "err EPIPE EBADF", nil, `an error is err and its name: "err EPIPE EBADF"`},
		{"recv", "err EPIPE lib", nil, `an error is err and its name: "err EPIPE lib"`},
		{"recv", "err +32", nil, `+32 is no errno: "err +32"`},
		{"recv", "err 032", nil, `032 is no errno: "err 032"`},
		{"recv", "err -1", nil, `-1 is no errno: "err -1"`},
		{"recv", "err EPIPE ", nil, `two spaces in "err EPIPE "`},
		{"send", "ok n=+1", nil, `n=+1 is no number: "ok n=+1"`},
		{"send", "ok n=01", nil, `n=01 is no number: "ok n=01"`},
		{"send", "ok n=0x1", nil, `n=0x1 is no number: "ok n=0x1"`},
		{"send", "ok n=99999999999999999999", nil, `n=99999999999999999999 is no number: "ok n=99999999999999999999"`},
		{"recv", "ok n=* payload=- fds=-", nil, `n=* is no number: "ok n=* payload=- fds=-"`},
		{"recv", "ok n=0 payload=- fds=", nil, `no fds= in the answer to recv: "ok n=0 payload=- fds="`},
		{"recv", "ok n=0 payload=- fds=- flags=", nil, `flags= is empty: "ok n=0 payload=- fds=- flags="`},
		{"recv", "ok n=0 payload=- fds=- flags=eor,eor", nil, `eor is there twice: "ok n=0 payload=- fds=- flags=eor,eor"`},
		{"recv", "ok n=0 payload=- fds=- flags=0x", nil, `0x is no flag: "ok n=0 payload=- fds=- flags=0x"`},
		{"recv", "ok n=0 payload=- fds=- flags=0x100000000", nil, `0x100000000 is no flag: "ok n=0 payload=- fds=- flags=0x100000000"`},
		{"recv", "ok n=0 payload=- fds=- eof eof", nil, `eof is there twice: "ok n=0 payload=- fds=- eof eof"`},
		{"recv", "ok n=0 payload=- fds=- ", nil, `two spaces in "ok n=0 payload=- fds=- "`},
		{"recv", "ok n=0 payload=- fds=closed:+2", nil, `closed or closed:N ends the list: "ok n=0 payload=- fds=closed:+2"`},
		{"recv", "ok n=0 payload=- fds=closed:02", nil, `closed or closed:N ends the list: "ok n=0 payload=- fds=closed:02"`},
		{"recv", "ok n=0 payload=- fds=closed:2147483648", nil, `closed or closed:N ends the list: "ok n=0 payload=- fds=closed:2147483648"`},
		{"recv", "err EPIPE fds=12", []int{12}, `an error is err and its name: "err EPIPE fds=12"`},
	} {
		_, numbers, err := ParseAnswer(c.verb, c.answer)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if text != c.err || !slices.Equal(numbers, c.numbers) {
			t.Errorf("%s, %q: got %v and %q, want %v and %q", c.verb, c.answer, numbers, text, c.numbers, c.err)
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
		if _, _, err := ParseAnswer("recv", answer); err == nil || len(err.Error()) > 1000 {
			t.Errorf("%.40s…: an error of %d bytes: %.100v", answer, len(fmt.Sprint(err)), err)
		}
	}
}
