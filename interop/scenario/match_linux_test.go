package scenario

import (
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/contract"
)

func TestMatch(t *testing.T) {
	const recv = "ok n=1 payload=00 "
	for _, c := range []struct {
		want, got string
		names     string // comma-separated
		why       string
	}{
		{"ok", "ok", "", ""},
		{"ok", "err EPIPE", "", "not ok"},
		{"ok n=5", "ok n=5", "", ""},
		{"ok n=5", "ok n=4", "", "n is 4"},
		{"ok n=5", "ok", "", "it does not tell n"},
		{"ok n=1 payload=00", recv, "", ""},
		{"ok n=1 payload=01", recv, "", "payload is 00"},

		// Any value, but none that is wrong by itself.
		{"ok n=*", "ok n=4", "", ""},
		{"ok n=*", "ok n=-1", "", "n is -1"},
		{"ok n=1 payload=* fds=-", recv + "fds=-", "", ""},
		{"ok n=1 payload=* fds=-", "ok n=5000 payload=@5000 fds=-", "", "n is 5000"},
		{"ok n=* payload=* fds=-", "ok n=5000 payload=@5000 fds=-", "", ""},
		{"ok n=* payload=* fds=-", "ok n=5000 payload=!7 fds=-", "", "payload is !7"},
		{"ok n=2 payload=*", "ok n=2 payload=00|!0", "", "payload is 00|!0"},

		// Descriptors.
		{recv + "fds=-", recv + "fds=-", "", ""},
		{recv + "fds=-", recv + "fds=7", "", "1 descriptors"},
		{recv + "fds=-", recv, "", "it does not tell fds"},
		{recv + "fds=a", recv + "fds=7", "a", ""},
		{recv + "fds=a", recv + "fds=-", "", "0 descriptors"},
		{recv + "fds=a:x,b", recv + "fds=7,9", "a:x,b", ""},
		{recv + "fds=a*2", recv + "fds=7,9", "a,a", ""},
		{recv + "fds=a1..a3", recv + "fds=7,8,9", "a1,a2,a3", ""},
		{recv + "fds=a1..a3", recv + "fds=7,8", "", "2 descriptors"},

		{recv + "fds=a1..a3,fewer", recv + "fds=7,8,9", "a1,a2,a3", ""},
		{recv + "fds=a1..a3,fewer", recv + "fds=7", "a1", ""},
		{recv + "fds=a1..a3,fewer", recv + "fds=-", "", "0 descriptors"},
		{recv + "fds=a1..a3,fewer", recv + "fds=7,8,9,10", "", "4 descriptors"},
		{recv + "fds=a1..a3,fewer", recv + "fds=7,closed", "", "it closed some"},
		{recv + "fds=a1..a3,fewer,closed", recv + "fds=7,8,closed:1", "a1,a2", ""},
		{recv + "fds=a1..a3,fewer,closed", recv + "fds=7,8", "", "it closed none"},

		// What was closed.
		{recv + "fds=a", recv + "fds=7,closed:1", "", "it closed some"},
		{recv + "fds=a", recv + "fds=7,closed", "", "it closed some"},
		{recv + "fds=a,closed", recv + "fds=7,closed:1", "a", ""},
		{recv + "fds=a,closed", recv + "fds=7,closed", "a", ""},
		{recv + "fds=a,closed", recv + "fds=7", "", "it closed none"},
		{recv + "fds=a,closed:1", recv + "fds=7,closed:1", "a", ""},
		{recv + "fds=a,closed:1", recv + "fds=7,closed:2", "", "it closed another number of them"},
		{recv + "fds=a,closed:1", recv + "fds=7,closed", "a", ""}, // it does not tell how many
		{recv + "fds=closed", recv + "fds=closed:9", "", ""},
		{recv + "fds=closed", recv + "fds=-", "", "it closed none"},

		// Flags.
		{recv + "fds=-", recv + "fds=- flags=ctrunc", "", ""},
		{recv + "fds=- flags=ctrunc", recv + "fds=- flags=ctrunc", "", ""},
		{recv + "fds=- flags=ctrunc", recv + "fds=- flags=eor,ctrunc,0x40", "", ""},
		{recv + "fds=- flags=ctrunc", recv + "fds=- flags=trunc", "", "no flag ctrunc"},
		{recv + "fds=- flags=ctrunc", recv + "fds=- flags=-", "", "no flag ctrunc"},
		{recv + "fds=- flags=ctrunc", recv + "fds=-", "", "it reports no flags"},
		{recv + "fds=- flags=ctrunc,trunc", recv + "fds=- flags=ctrunc", "", "no flag trunc"},
		{recv + "fds=- flags=-", recv + "fds=- flags=-", "", ""},
		{recv + "fds=- flags=-", recv + "fds=- flags=ctrunc", "", "there are flags"},
		{recv + "fds=- flags=-", recv + "fds=-", "", ""},

		// Sets of words, and modes.
		{"ok events=out,in", "ok events=in,out", "", ""},
		{"ok events=in", "ok events=in,out", "", "events is in,out"},
		{"ok seals=write,shrink", "ok seals=shrink,write", "", ""},
		{"ok seals=-", "ok seals=seal", "", "seals is seal"},
		{"ok value=wronly,nonblock", "ok value=nonblock,wronly", "", ""},
		{"ok value=1", "ok value=10", "", "value is 10"},
		{"ok mode=0", "ok mode=0000", "", ""},
		{"ok mode=0600", "ok mode=0060", "", "mode is 0060"},
		{recv + "fds=- control=security,timestamp", recv + "fds=- control=timestamp,security", "", "control is timestamp,security"},

		// The end.
		{"ok n=0 payload=- fds=-", "ok n=0 payload=- fds=-", "", ""},
		{"ok n=0 payload=- fds=-", "ok n=0 payload=- fds=- eof", "", "it took the message for the end"},
		{"ok n=0 payload=- fds=- eof", "ok n=0 payload=- fds=- eof", "", ""},
		{"ok n=0 payload=- fds=- eof", "ok n=0 payload=- fds=-", "", "it does not tell the end"},

		// Errors.
		{"err", "err EPIPE", "", ""},
		{"err", "err lib any text", "", ""},
		{"err", "err EAGAIN", "", "the error tells the caller to try again"},
		{"err", "err EINTR", "", "the error tells the caller to try again"},
		{"err", "err 11", "", "the error tells the caller to try again"},
		{"err EPIPE", "err EPIPE", "", ""},
		{"err EPIPE", "err 32", "", ""},
		{"err 32", "err EPIPE", "", ""},
		{"err EPIPE", "err 33", "", "the error is another"},
		{"err EPIPE", "err lib EPIPE", "", "the error is another"},
		{"err EPIPE", "err 9999", "", "the error is another"},
		{"err EAGAIN", "err EWOULDBLOCK", "", ""},
		{"err EAGAIN", "err 11", "", ""},
		{"err EOPNOTSUPP", "err 95", "", ""},
		{"err EOPNOTSUPP", "err ENOTSUP", "", ""},
		{"err lib", "err lib", "", ""},
		{"err lib", "err lib too many files", "", ""},
		{"err lib", "err EMFILE", "", "the error is another"},
		{"err lib", "ok", "", "not err"},
	} {
		st := Step{}
		if err := st.want(c.want); err != nil {
			t.Fatal(err)
		}
		got, err := contract.ParseLine(strings.TrimSpace(c.got))
		if err != nil {
			t.Fatal(err)
		}
		names, why := st.Wants[0].Match(got)
		if strings.Join(names, ",") != c.names || why != c.why {
			t.Errorf("%q for %q: got %v and %q, want %s and %q", c.got, c.want, names, why, c.names, c.why)
		}
	}
}

// A difference shows the beginning of a long answer.
func TestDifferenceOfLongAnswer(t *testing.T) {
	long := strings.Repeat("x", contract.MaxLine-100)
	got, _, err := contract.ParseAnswer("recv", "ok n=1 payload="+long+" fds=-")
	if err != nil {
		t.Fatal(err)
	}
	want, err := contract.ParseLine("ok n=1 payload=00 fds=-")
	if err != nil {
		t.Fatal(err)
	}
	if _, why := (Want{Line: want}).Match(got); why == "" || len(why) > 1000 {
		t.Errorf("a difference of %d bytes: %.100s", len(why), why)
	}
}
