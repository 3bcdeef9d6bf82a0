package kernel

import (
	"reflect"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/contract"
	"golang.org/x/sys/unix"
)

func TestParseCommand(t *testing.T) {
	payload := func(text string) contract.Payload {
		p, _ := contract.ParsePayload(text)
		return p
	}
	for line, want := range map[string]map[string]any{
		"send payload=00 fds=- flags=eor":                      {"payload": payload("00"), "fds": []int(nil), "flags": []string{"eor"}},
		"recv bytes=1,2 fds=3":                                 {"bytes": contract.Room{1, 2}, "fds": 3},
		"sendmsg payload=00,@5":                                {"payload": payload("00,@5")},
		"sendmsg payload=bad control=-":                        {"payload": "bad", "control": "-"},
		"recvmsg bytes=1 control=edge(len(0)) controllen=0x10": {"bytes": contract.Room{1}, "control": Edge(unix.CmsgLen(0)), "controllen": 16},
		"recvmmsg bytes=1|2 control=-|24":                      {"bytes": []any{contract.Room{1}, contract.Room{2}}, "control": []any{"-", 24}},
		"setsockopt sock=3 passcred=1":                         {"sock": 3, "passcred": 1},
		"fcntl fd=3 set=fl:append,nonblock":                    {"fd": 3, "set": Setting{What: "fl", Flags: []string{"append", "nonblock"}}},
		"fcntl fd=3 set=pipe_sz:4096":                          {"fd": 3, "set": Setting{What: "pipe_sz", Size: 4096}},
		"mkdir path=d mode=0700":                               {"path": "d", "mode": 0o700},
	} {
		if got, err := contract.ParseCommand(Vocabulary, line); err != nil || !reflect.DeepEqual(got.Values, want) {
			t.Errorf("%q: got %#v, %v, want %#v", line, got, err, want)
		}
	}
}

// The control buffer of a call is limited, whatever the line says.
func FuzzParseCommand(f *testing.F) {
	for _, u := range CallUsages {
		f.Add(u.Usage)
	}
	for _, item := range []string{"2*rights(1):len=len(2)-1:more=00", "cmsg(1,2,00)", "cmsg(1,2)", "cmsg()", "creds(A,0,1)",
		"creds()", "pidfd(3):level=1:type=2", "9999*hex(00ff)", "8388608*hex(00112233445566778899)"} {
		f.Add("sendmsg payload=bad control=" + item)
	}
	f.Fuzz(func(t *testing.T, line string) {
		c, err := contract.ParseCommand(Vocabulary, line)
		var size int64
		for _, item := range contract.Get(c, "control", []Cmsg(nil)) {
			size += item.size()
		}
		if err == nil && size > maxControl {
			t.Errorf("%q: %d bytes", line, size)
		}
	})
}

func TestSize(t *testing.T) {
	for text, want := range map[string]int{
		"0": 0, "24": 24, "0x10": 16, "len(0)": unix.CmsgLen(0), "len(2)": unix.CmsgLen(8), "space(3)": unix.CmsgSpace(12),
		"len(1)-1": unix.CmsgLen(4) - 1, "space(1)+creds": unix.CmsgSpace(4) + unix.CmsgSpace(unix.SizeofUcred), "1+2-3+4": 4, "0-1": -1,
	} {
		if got, ok := Size(text); !ok || got != want {
			t.Errorf("%s: got %d, %t; want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "-5", "len", "len(1", "len(-1)", "space(99999999999)", "len()", "len(x)", "1+", "+", "size(1)", "1 2"} {
		if got, ok := Size(text); ok {
			t.Errorf("%q: got %d, want an error", text, got)
		}
	}
}

// Items that are malformed, or short but make a very long control buffer, are rejected.
func TestControl(t *testing.T) {
	for text, want := range map[string]int{
		"rights(7)": unix.CmsgSpace(4), "rights()": unix.CmsgSpace(0), "creds()": unix.CmsgSpace(12), "creds():more=0000000000": unix.CmsgSpace(17), "creds(A)": unix.CmsgSpace(12),
		"hex(00ff)": 2, "hex()": 0, "3*rights(7),hex(00)": 3*unix.CmsgSpace(4) + 1, "rights(7):more=00ff:len=3": unix.CmsgSpace(6),
		"70000*cmsg(99,1,-)": 70000 * unix.CmsgSpace(0), "0*rights(1)": 0, "creds(B,0,-1)": unix.CmsgSpace(12),
	} {
		list, ok := parseControl(text)
		size := 0
		for _, c := range list {
			size += int(c.size())
		}
		if !ok || size != want {
			t.Errorf("%s: %d bytes, %t; want %d", text, size, ok, want)
		}
	}
	for text := range strings.FieldsSeq(`rights rights( rights(a) left(1) cmsg(1,2) cmsg(a,b,00) cmsg(1,2,0) cmsg(4294967296,1,-) hex(0) hex(00):len=1
		x*rights(1) rights(1)len=1 rights(4294967296) rights(1):len= rights(1):len=x rights(1):len=-5 rights(1):color=1 rights(1):type=x
		rights(1):more=0 1000*1000*rights() 1000000000*rights() -1*rights() 67108864*rights(1,2) rights(1),,rights(1)`) {
		if list, ok := parseControl(text); ok {
			t.Errorf("%q: got %v, want an error", text, list)
		}
	}
}
