package contract

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseCommand(t *testing.T) {
	for line, want := range map[string]map[string]any{
		"hello":                          {},
		"use fds=8,9 sock=7":             {"sock": 7, "fds": []int{8, 9}},
		"close fds=12,13":                {"fds": []int{12, 13}},
		"send payload=- fds=- flags=-":   {"payload": Payload{{}}, "fds": []int(nil), "flags": []string(nil)},
		"send payload=68,@5 fds=-1 at=9": {"payload": Payload{{data: []byte("h")}, {pattern: 5}}, "fds": []int{-1}, "at": 9},
		"recv bytes=1,2 fds=3":           {"bytes": Room{1, 2}, "fds": 3},
		"sendmsg payload=bad control=-":  {"payload": "bad", "control": "-"},
		"recvmsg bytes=1 control=edge(len(0)) controllen=0x10": {"bytes": Room{1}, "control": Edge(unix.CmsgLen(0)), "controllen": 16},
		"recvmmsg bytes=1|2 control=-|24":                      {"bytes": []any{Room{1}, Room{2}}, "control": []any{"-", 24}},
		"setsockopt sock=3 passcred=1":                         {"sock": 3, "passcred": 1},
		"fcntl fd=3 set=fl:append,nonblock":                    {"fd": 3, "set": Setting{What: "fl", Flags: []string{"append", "nonblock"}}},
		"fcntl fd=3 set=pipe_sz:4096":                          {"fd": 3, "set": Setting{What: "pipe_sz", Size: 4096}},
		"mkdir path=d mode=0700":                               {"path": "d", "mode": 0o700},
	} {
		if got, err := ParseCommand(line); err != nil || !reflect.DeepEqual(got.Values, want) {
			t.Errorf("%q: got %#v, %v, want %#v", line, got, err, want)
		}
	}
	for line := range strings.SplitSeq(";Hello;hello ;hello x;hello x=1;end fds=3;use;use sock=-1;use sock=03;use sock=2147483648;use sock=3 sock=3;"+
		"use sock=3 fds=4,;use sock=3 fds=-1;close fds=x;send payload= fds=-;send payload=AA fds=-;send payload=@67108864,00 fds=-;"+
		"send payload=00 fds=- at=-1;recv bytes=- fds=0;recv bytes=1 fds=-;recv bytes=67108864,1 fds=0;recv bytes=1 fds=65536", ";") {
		if got, err := ParseCommand(line); err == nil {
			t.Errorf("%q: got %v", line, got)
		}
	}
}

// Whatever is read, a payload has a limit.
func FuzzParseCommand(f *testing.F) {
	for _, u := range append(commandUsages, CallUsages...) {
		f.Add(u.Usage)
	}
	f.Add("send payload=@300,-,00 fds=-1 at=7 flags=eor")
	f.Add("sendmsg payload=bad control=2*rights(1):len=len(2)-1:more=00")
	f.Fuzz(func(t *testing.T, line string) {
		c, err := ParseCommand(line)
		if whole := bytes.Join(Get(c, "payload", Payload(nil)).Buffers(0), nil); err == nil && len(whole) > MaxPayload {
			t.Errorf("%q: %d bytes", line, len(whole))
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
		t.Errorf("got %v", got)
	}
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
			t.Errorf("%q is %d", text, got)
		}
	}
}

// A short item makes no control buffer that fills the memory, and what is none is refused.
func TestControl(t *testing.T) {
	for text, want := range map[string]int{
		"rights(7)": unix.CmsgSpace(4), "rights()": unix.CmsgSpace(0), "creds()": unix.CmsgSpace(12), "creds(A)": unix.CmsgSpace(12),
		"hex(00ff)": 2, "hex()": 0, "3*rights(7),hex(00)": 3*unix.CmsgSpace(4) + 1, "rights(7):more=00ff:len=3": unix.CmsgSpace(6),
		"70000*cmsg(99,1,-)": 70000 * unix.CmsgSpace(0), "0*rights(1)": 0, "creds(B,0,-1)": unix.CmsgSpace(12),
	} {
		value, ok := control(text)
		list, _ := value.([]Cmsg)
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
		if list, ok := control(text); ok {
			t.Errorf("%q is %v", text, list)
		}
	}
}
