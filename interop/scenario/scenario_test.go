package scenario

import (
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/contract"
)

// A peer's answer to hello decides which scenarios it runs, and in which role.
func TestUnsupportedBy(t *testing.T) {
	const head = rule + "on stream\nfiles a=dir\n"
	const pass = "A> send payload=0001 fds=a\nA< ok n=2\nB> recv bytes=4 fds=1\nB< ok n=2 payload=0001 fds=a\n"
	const big = head + "room any\nA> send payload=@10,00 fds=a\nA< ok n=11\nB> recv bytes=16 fds=1\nB< ok n=11 payload=- fds=a\n"
	with := func(old, new string) string { return head + strings.Replace(pass, old, new, 1) }
	for _, c := range []struct{ hello, text, a, b string }{
		{"can=stream", head + pass, "", ""},
		{"can=dgram", head + pass, "no stream", "no stream"},
		{"can=stream", with("fds=a\nA<", "fds=a*2\nA<"), "no multi", ""},
		{"can=stream,multi", with("fds=a\nA<", "fds=a*2\nA<"), "", ""},
		{"can=stream", with("fds=1", "fds=2"), "", "no multi"},
		{"can=stream", with("bytes=4", "bytes=4,4"), "", "no iov"},
		{"can=stream", with("fds=1", "fds=1 flags=peek"), "", "no flags"},
		{"can=stream polls=yes", head + "waits B\n" + pass, "", "it polls"},

		// A capacity fixed by the library.
		{"can=stream room=4,1", head + pass, "", ""},
		{"can=stream room=5,1", head + pass, "", "its room is 5,1"},
		{"can=stream room=*,1", head + pass, "", ""},
		{"can=stream room=*,2", head + pass, "", "its room is *,2"},
		{"can=stream room=4,*", head + pass, "", ""},
		{"can=stream room=5,1", head + "room any\n" + pass, "", ""},
		{"can=stream room=1,1", head + "room any\n" + pass, "its room is 1,1", "its room is 1,1"},
		{"can=stream,iov room=10,1", big, "its room is 10,1", "its room is 10,1"},
		{"can=stream,iov room=11,1", big, "", ""},

		// A payload fixed by the library.
		{"can=stream payload=0001", head + pass, "", ""},
		{"can=stream,iov payload=0001", with("=0001 fds", "=0001,00 fds"), "its payload is 0001", "its payload is 0001"},
		{"can=stream payload=00", head + pass, "its payload is 00", "its payload is 00"},
		{"can=stream payload=00", head + "A> end\nA< ok\nB> recv bytes=1 fds=1\nB< ok n=0 payload=- fds=-\n", "", ""},
	} {
		hello, err := contract.ParseHello("ok name=x " + c.hello)
		if err != nil {
			t.Fatalf("%q: %v", c.hello, err)
		}
		p := &Peer{Hello: hello}
		is := Case{mustParse(t, c.text), "stream", p, p}
		if a, b := strings.TrimPrefix(is.UnsupportedBy(RoleA), ": "), strings.TrimPrefix(is.UnsupportedBy(RoleB), ": "); a != c.a || b != c.b {
			t.Errorf("%s: got %q and %q, want %q and %q for\n%s", c.hello, a, b, c.a, c.b, c.text)
		}
	}
}

func TestParseHello(t *testing.T) {
	h, err := contract.ParseHello("ok name=nix lang=rust version=0.30.1 can=stream,multi room=*,1 gc=yes closes=yes")
	if err != nil || h.Lang != "rust" || h.Version != "0.30.1" || !slices.Equal(h.Can, []string{"stream", "multi"}) || h.Room != "*,1" || !h.GC || !h.Closes {
		t.Errorf("got %+v, %v", h, err)
	}
	for answer, want := range map[string]string{
		"ok name=x":                         `the answer to hello has no can=: "ok name=x"`,
		"ok can=stream":                     `the answer to hello has no name=: "ok can=stream"`,
		"unsupported":                       `not an answer to hello: "unsupported"`,
		"ok name=x can=dgram room=1":        "room=1 is not BYTES,FDS",
		"ok name=x can=dgram payload=0":     "payload=0 is not bytes",
		"ok name=x can=stream,levitation":   "can=stream,levitation is not a list of stream, dgram, seqpacket, multi, iov and flags",
		"ok name=x can=stream,multi,stream": "duplicate stream in can=",
		"ok name=x can=stream color=red":    "unknown field color=",
		"ok name=x can=stream polls=no":     "polls=no is not yes",
		"ok name=x can=stream closes=error": "closes=error is not yes",
	} {
		if h, err := contract.ParseHello(answer); err == nil || err.Error() != want {
			t.Errorf("%q: got %+v, %v; want %s", answer, h, err, want)
		}
	}
}

func TestScenarioReceives(t *testing.T) {
	s := mustParse(t, rule+"on stream\nB> recv bytes=1 fds=0\nB< ok n=1 payload=00 fds=-\n | ok n=1 payload=00 fds=closed  # why\n")
	if two := mustParse(t, simple); s.receives(RoleB) || two.receives(RoleA) || !two.receives(RoleB) {
		t.Error("only B in the second scenario receives a file")
	}
}
