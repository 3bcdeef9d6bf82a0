package contract

import (
	"bytes"
	"os"
	"reflect"
	"strings"
	"testing"
)

func TestParseCommand(t *testing.T) {
	for line, want := range map[string]map[string]any{
		"hello":                          {},
		"use fds=8,9 sock=7":             {"sock": 7, "fds": []int{8, 9}},
		"close fds=12,13":                {"fds": []int{12, 13}},
		"send payload=- fds=- flags=-":   {"payload": Payload{{}}, "fds": []int(nil), "flags": []string(nil)},
		"send payload=68,@5 fds=-1 at=9": {"payload": Payload{{data: []byte("h")}, {pattern: 5}}, "fds": []int{-1}, "at": 9},
		"recv bytes=1,2 fds=3":           {"bytes": Room{1, 2}, "fds": 3},
	} {
		if got, err := ParseCommand(Commands, line); err != nil || !reflect.DeepEqual(got.Values, want) {
			t.Errorf("%q: got %#v, %v, want %#v", line, got, err, want)
		}
	}
	for line := range strings.SplitSeq(";Hello;hello ;hello x;hello x=1;end fds=3;use;use sock=-1;use sock=03;use sock=2147483648;use sock=3 sock=3;"+
		"use sock=3 fds=4,;use sock=3 fds=-1;close fds=x;send payload= fds=-;send payload=AA fds=-;send payload=@67108864,00 fds=-;"+
		"send payload=00 fds=- at=-1;recv bytes=- fds=0;recv bytes=1 fds=-;recv bytes=67108864,1 fds=0;recv bytes=1 fds=65536;sendmsg payload=00", ";") {
		if got, err := ParseCommand(Commands, line); err == nil {
			t.Errorf("%q: got %v", line, got)
		}
	}
}

func TestContractListsFlags(t *testing.T) {
	page, err := os.ReadFile("../peers/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for before, flags := range map[string][]string{"Send flags: ": sendFlags, "Receive flags: ": recvFlags} {
		if list := before + "`" + strings.Join(flags, "`, `") + "`.\n"; !strings.Contains(string(page), list) {
			t.Errorf("interop/peers/README.md does not contain %q", list)
		}
	}
}

func TestExtend(t *testing.T) {
	v := Commands.Extend(Definitions{
		Forms: []Form{
			{Usage: "open path=P", Gives: "fd"},
			{Usage: "open fd=x", Gives: "fd"},
			{Usage: "set [fd=x] NAME=VALUE…"},
		},
		Kinds:    map[string]Kind{"path": WordList("a"), "fd open.fd NAME": Integer(0, 9)},
		Groups:   map[string][]string{"NAME": {"high", "low"}},
		FDFields: []string{"fd"},
	})
	for line, want := range map[string]string{
		"end":                 "",
		"open path=a":         "",
		"open fd=1":           "",
		"set high=1":          "",
		"set high=1 low=2":    "",
		"set fd=3 low=2":      "",
		"open fd=10":          "open: invalid value for fd=",
		"open path=a fd=1":    "usage: open path=P, or open fd=x",
		"open high=1":         "usage: open path=P, or open fd=x",
		"set fd=3":            "usage: set [fd=x] NAME=VALUE…",
		"set high=10":         "set: invalid value for high=",
		"set wide=1":          "usage: set [fd=x] NAME=VALUE…",
		"shut path=a":         "unknown command shut",
		"recv bytes=1 fds=10": "",
	} {
		text := ""
		if _, err := ParseCommand(v, line); err != nil {
			text = err.Error()
		}
		if text != want {
			t.Errorf("%s: got %q, want %q", line, text, want)
		}
	}
	if _, fds, err := ParseAnswer(v, "open", "ok fd=7"); err != nil || len(fds) != 1 || fds[0] != 7 {
		t.Errorf("got %v, %v", fds, err)
	}
	if v.Has("shut") || !v.Has("open") || !v.Has("send") || Commands.Has("open") {
		t.Error("the vocabulary does not have its commands, or Commands has them")
	}
	for name, d := range map[string]Definitions{
		"a command defined twice": {Forms: []Form{{Usage: "end now=N"}}, Kinds: map[string]Kind{"now": Integer(0, 1)}},
		"a field without a kind":  {Forms: []Form{{Usage: "wait for=N"}}},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s does not panic", name)
				}
			}()
			Commands.Extend(d)
		}()
	}
}

// The sum of a command's buffers is limited, whatever the line says.
func FuzzParseCommand(f *testing.F) {
	for _, def := range Commands.commands {
		for _, usage := range def.usages {
			f.Add(usage)
		}
	}
	f.Add("send payload=@300,-,00 fds=-1 at=7 flags=eor")
	for _, sizes := range [][2]string{{"@33554432,@33554432", "33554432,33554432"}, {"@67108864,00", "67108864,1"}} { // the limit, and one more
		f.Add("send payload=" + sizes[0] + " fds=-")
		f.Add("recv bytes=" + sizes[1] + " fds=0")
	}
	f.Fuzz(func(t *testing.T, line string) {
		c, err := ParseCommand(Commands, line)
		sum := 0
		for _, b := range Get(c, "payload", Payload(nil)) {
			sum += len(b.data) + b.pattern
		}
		for _, n := range Get(c, "bytes", Room(nil)) {
			sum += n
		}
		if err == nil && sum > MaxPayload {
			t.Errorf("%q: %d bytes", line, sum)
		}
	})
}

func TestFormatPayload(t *testing.T) {
	long := Payload{{pattern: 5000}}.Buffers(100)[0]
	wrong := append(bytes.Clone(long[:4999]), 0)
	for want, got := range map[string]string{
		"-": FormatPayload(nil, 0), "00ff": FormatPayload([]byte{0, 0xff}, 0), "@5000": FormatPayload(long, 100+period),
		"!0": FormatPayload(long, 0), "!4999": FormatPayload(wrong, 100),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := (Payload{{pattern: 2}, {}, {data: []byte{9}}, {pattern: 2}}).Buffers(250); !reflect.DeepEqual(got, [][]byte{{250, 0}, {}, {9}, {2, 3}}) {
		t.Errorf("got the buffers %v, want 250 0, nothing, 9 and 2 3", got)
	}
}
