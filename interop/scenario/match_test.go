package scenario

import (
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/contract"
)

func TestMatch(t *testing.T) {
	const recv = "ok n=1 payload=00 "
	for _, c := range []struct{ want, got, names, why string }{
		{"ok", "err EPIPE", "", "not ok"},
		{"ok n=5", "ok n=4", "", "n is 4"},
		{"ok n=5", "ok", "", "n is missing"},

		// Any value, but none that is wrong by itself.
		{"ok n=*", "ok n=-1", "", "n is -1"},
		{"ok n=* payload=* fds=-", "ok n=5000 payload=!7 fds=-", "", "payload is !7"},

		// Descriptors.
		{recv + "fds=-", recv + "fds=7", "", "1 descriptor, and not 0"},
		{recv + "fds=-", recv, "", "fds is missing"},
		{recv + "fds=a", recv + "fds=7", "a", ""},
		{recv + "fds=a", recv + "fds=-", "", "0 descriptors, and not 1"},
		{recv + "fds=a:x,b", recv + "fds=7,9", "a:x,b", ""},
		{recv + "fds=a1..a3", recv + "fds=7,8", "", "2 descriptors, and not 3"},

		{recv + "fds=a1..a3,fewer", recv + "fds=7", "a1", ""},
		{recv + "fds=a1..a3,fewer", recv + "fds=-", "", "0 descriptors, and not 1"},
		{recv + "fds=a1..a3,fewer", recv + "fds=7,8,9,10", "", "4 descriptors, and not 3"},
		{recv + "fds=a1..a3,fewer,closed", recv + "fds=7,8,closed:1", "a1,a2", ""},

		// What was closed.
		{recv + "fds=a", recv + "fds=7,closed:1", "", "it reports closed descriptors"},
		{recv + "fds=a,closed", recv + "fds=7,closed:1", "a", ""},
		{recv + "fds=a,closed", recv + "fds=7", "", "it does not report closed descriptors"},
		{recv + "fds=a,closed:1", recv + "fds=7,closed:2", "", "it closed a different number of descriptors"},
		{recv + "fds=a,closed:1", recv + "fds=7,closed", "a", ""}, // it does not say how many

		// Flags.
		{recv + "fds=-", recv + "fds=- flags=ctrunc", "", ""},
		{recv + "fds=- flags=ctrunc", recv + "fds=- flags=eor,ctrunc,0x40", "", ""},
		{recv + "fds=- flags=ctrunc", recv + "fds=- flags=trunc", "", "no flag ctrunc"},
		{recv + "fds=- flags=ctrunc", recv + "fds=-", "", "a descriptor was lost, and the library did not report it"},
		{recv + "fds=- flags=trunc", recv + "fds=-", "", "the library reports no flags"},
		{recv + "fds=- flags=-", recv + "fds=- flags=ctrunc", "", "there are flags"},
		{recv + "fds=- flags=-", recv + "fds=-", "", ""},

		// Sets of words, and modes.
		{"ok events=out,in", "ok events=in,out", "", ""},
		{"ok events=in", "ok events=in,out", "", "events is in,out"},
		{"ok seals=write,shrink", "ok seals=shrink,write", "", ""},
		{"ok mode=0", "ok mode=0000", "", ""},
		{recv + "fds=- control=security,timestamp", recv + "fds=- control=timestamp,security", "", "control is timestamp,security"},

		// The end.
		{"ok n=0 payload=- fds=-", "ok n=0 payload=- fds=- eof", "", "it reports end of file for a message"},
		{"ok n=0 payload=- fds=- eof", "ok n=0 payload=- fds=- eof", "", ""},
		{"ok n=0 payload=- fds=- eof", "ok n=0 payload=- fds=-", "", "it does not report end of file"},

		// Errors.
		{"err", "err lib any text", "", ""},
		{"err", "err EAGAIN", "", "the error asks the caller to try again"},
		{"err", "err 11", "", "the error asks the caller to try again"},
		{"err EPIPE", "err lib EPIPE", "", "the error is a different one"},
		{"err EOPNOTSUPP", "err ENOTSUP", "", ""},
		{"err lib", "err lib too many files", "", ""},
		{"err lib", "err EMFILE", "", "the error is a different one"},
	} {
		want, err := contract.ParseLine(strings.TrimSpace(c.want))
		got, err2 := contract.ParseLine(strings.TrimSpace(c.got))
		if err != nil || err2 != nil {
			t.Fatalf("%q: %v; %q: %v", c.want, err, c.got, err2)
		}
		names, why := Alternative{Line: want}.Match(got)
		if strings.Join(names, ",") != c.names || why != c.why {
			t.Errorf("%q for %q: got %v and %q, want %s and %q", c.got, c.want, names, why, c.names, c.why)
		}
	}
}
