package scenario

import (
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/contract"
)

func TestCapabilities(t *testing.T) {
	for _, c := range []struct{ a, b, wantA, wantB string }{
		{"send payload=00 fds=-", "recv bytes=1 fds=0", "", ""},
		{"send payload=00 fds=a", "recv bytes=1 fds=1", "", ""},
		{"send payload=00 fds=a,a", "recv bytes=1 fds=2", "multi", "multi"},
		{"send payload=00 fds=a*2", "recv bytes=1 fds=1", "multi", ""},
		{"send payload=00,01 fds=a", "recv bytes=1,1 fds=1", "iov", "iov"},
		{"send payload=00 fds=a flags=eor", "recv bytes=1 fds=1 flags=peek", "flags", "flags"},
		{"send payload=00,01 fds=a*2 flags=eor", "recv bytes=1,1 fds=9 flags=peek", "flags,multi,iov", "flags,multi,iov"},
		{"close fds=a", "end", "", ""},
	} {
		s := mustParse(t, rule+"on stream\nfiles a=dir\nA> "+c.a+"\nA< err\nB> "+c.b+"\nB< err\n")
		a, b := strings.Join(s.capabilities(RoleA), ","), strings.Join(s.capabilities(RoleB), ",")
		if a != c.wantA || b != c.wantB {
			t.Errorf("%s and %s: got %q and %q, want %q and %q", c.a, c.b, a, b, c.wantA, c.wantB)
		}
	}
}

func TestTakes(t *testing.T) {
	const head = rule + "on stream\nfiles a=dir\n"
	const pass = "A> send payload=0001 fds=a\nA< ok n=2\nB> recv bytes=4 fds=1\nB< ok n=2 payload=0001 fds=a\n"
	const big = "A> send payload=@10,00 fds=a\nA< ok n=11\nB> recv bytes=16 fds=1\nB< ok n=11 payload=- fds=a\n"
	s := mustParse(t, head+"waits B\n"+pass)
	polls := &Peer{Hello: contract.Hello{Can: []string{"stream"}, Polls: true}}
	if a, b := polls.takes(s, RoleA, "stream"), polls.takes(s, RoleB, "stream"); a != "" || b != "it polls" {
		t.Errorf("polls=yes: got %q and %q", a, b)
	}
	for _, c := range []struct {
		can, room, text string
		wantA, wantB    string
	}{
		{"stream", "", head + pass, "", ""},
		{"dgram", "", head + pass, "no stream", "no stream"},
		{"stream", "", head + strings.Replace(pass, "fds=a\nA<", "fds=a*2\nA<", 1), "no multi", ""},
		{"stream,multi", "", head + strings.Replace(pass, "fds=a\nA<", "fds=a*2\nA<", 1), "", ""},
		{"stream", "", head + strings.Replace(pass, "bytes=4", "bytes=4,4", 1), "", "no iov"},
		{"stream", "", head + strings.Replace(pass, "fds=1", "fds=1 flags=peek", 1), "", "no flags"},

		// Rooms of the library's own.
		{"stream", "4,1", head + pass, "", ""},
		{"stream", "5,1", head + pass, "", "its room is 5,1"},
		{"stream", "*,1", head + pass, "", ""},
		{"stream", "*,2", head + pass, "", "its room is *,2"},
		{"stream", "4,*", head + pass, "", ""},
		{"stream", "5,1", head + "room any\n" + pass, "", ""},
		{"stream", "1,1", head + "room any\n" + pass, "its room is 1,1", "its room is 1,1"},
		{"stream,iov", "10,1", head + "room any\n" + big, "its room is 10,1", "its room is 10,1"},
		{"stream,iov", "11,1", head + "room any\n" + big, "", ""},
		{"stream,iov", "*,1", head + big, "", ""},
	} {
		p := &Peer{Hello: contract.Hello{Can: strings.Split(c.can, ","), Room: c.room}}
		s := mustParse(t, c.text)
		if a, b := p.takes(s, RoleA, "stream"), p.takes(s, RoleB, "stream"); a != c.wantA || b != c.wantB {
			t.Errorf("can=%s room=%s: got %q and %q, want %q and %q for\n%s", c.can, c.room, a, b, c.wantA, c.wantB, c.text)
		}
	}
}

func TestTakesItsOwnPayloadAlone(t *testing.T) {
	const head = rule + "on stream\nfiles a=dir\n"
	const pass = "A> send payload=00 fds=a\nA< ok n=1\nB> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a\n"
	const silent = "A> end\nA< ok\nB> recv bytes=1 fds=1\nB< ok n=0 payload=- fds=-\n"
	for text, want := range map[string]string{
		head + pass:   "",
		head + silent: "",
		head + strings.ReplaceAll(pass, "00", "01"):                                                                          "its payload is 00",
		head + strings.Replace(pass, "=00 fds", "=00,00 fds", 1):                                                             "its payload is 00",
		head + pass + strings.ReplaceAll(pass, "00", "-"):                                                                    "its payload is 00",
		head + "play receiver\n" + strings.Replace(pass, "send payload=00 fds=a", "sendmsg payload=01 control=rights(a)", 1): "its payload is 00",
	} {
		p := &Peer{Hello: contract.Hello{Can: []string{"stream", "iov"}, Payload: "00"}}
		s := mustParse(t, text)
		if a, b := p.takes(s, RoleA, "stream"), p.takes(s, RoleB, "stream"); a != want || b != want {
			t.Errorf("got %q and %q, want %q for\n%s", a, b, want, text)
		}
	}
}

func TestParseHello(t *testing.T) {
	h, err := contract.ParseHello("ok name=nix lang=rust version=0.30.1 can=stream,multi room=*,1 gc=yes")
	if err != nil || h.Lang != "rust" || h.Version != "0.30.1" || !slices.Equal(h.Can, []string{"stream", "multi"}) || h.Room != "*,1" || !h.GC {
		t.Errorf("got %+v, %v", h, err)
	}
	for _, room := range []string{"*,*", "0,1", "4096,*"} {
		if h, err := contract.ParseHello("ok name=x can=dgram room=" + room); err != nil || h.Room != room {
			t.Errorf("got %+v, %v", h, err)
		}
	}
	for answer, want := range map[string]string{
		"ok":                            `not an answer to hello: "ok"`,
		"ok name=x":                     `not an answer to hello: "ok name=x"`,
		"err EPIPE":                     `not an answer to hello: "err EPIPE"`,
		"unsupported":                   `not an answer to hello: "unsupported"`,
		"Hello, world":                  `not an answer to hello: "Hello, world"`,
		"ok name=x name=y":              `name= twice in "ok name=x name=y"`,
		"ok name=x can=dgram room=1":    "room=1 is not BYTES,FDS",
		"ok name=x can=dgram payload=0": "payload=0 is not bytes",

		"ok name=x can=stream,levitation":       "can=levitation is nothing that the contract knows",
		"ok name=x can=stream,":                 "can= is nothing that the contract knows",
		"ok name=x can=stream,multi,stream":     "can=stream is there twice",
		"ok name=x can=stream color=red":        "color= is nothing that the contract knows",
		"ok name=x can=stream lang=":            "lang= is empty",
		"ok name=x can=stream room=1,2,3":       "room=1,2,3 is not BYTES,FDS",
		"ok name=x can=stream room=many,1":      "room=many,1 is not BYTES,FDS",
		"ok name=x can=stream room=1,":          "room=1, is not BYTES,FDS",
		"ok name=x can=stream room=-1,1":        "room=-1,1 is not BYTES,FDS",
		"ok name=x can=stream room=+1,01":       "room=+1,01 is not BYTES,FDS",
		"ok name=x can=stream payload=0G":       "payload=0G is not bytes",
		"ok name=x can=stream payload=AA":       "payload=AA is not bytes",
		"ok name=x can=stream gc=perhaps":       "gc=perhaps is not yes",
		"ok name=x can=stream polls=no":         "polls=no is not yes",
		"ok name=x can=stream a=1 b=2 version=": "a= is nothing that the contract knows",

		"ok name=x can=" + strings.Repeat("x", 9000): "can=" + strings.Repeat("x", 64) + "… is nothing that the contract knows",
	} {
		if h, err := contract.ParseHello(answer); err == nil || err.Error() != want {
			t.Errorf("%q: got %+v, %v; want %s", answer, h, err, want)
		}
	}
}

func TestScenarioReceives(t *testing.T) {
	s := mustParse(t, rule+"on stream\nfiles a=dir\nA> send payload=00 fds=a\nA< ok n=1\n"+
		"B> recv bytes=1 fds=0\nB< ok n=1 payload=00 fds=-\n | ok n=1 payload=00 fds=closed  # why\n")
	if s.receives(RoleA) || s.receives(RoleB) {
		t.Error("nobody receives a file")
	}
	if s = mustParse(t, simple); s.receives(RoleA) || !s.receives(RoleB) {
		t.Error("B receives a file, and A does not")
	}
}
