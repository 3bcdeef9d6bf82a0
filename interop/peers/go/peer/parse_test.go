//go:build linux

package peer

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParse(t *testing.T) {
	for line, want := range map[string]any{
		"hello":                               hello{},
		"end":                                 end{},
		"use sock=7":                          use{sock: 7},
		"use fds=8,9 sock=7":                  use{sock: 7, fds: []int{8, 9}},
		"use sock=7 fds=-":                    use{sock: 7},
		"close fds=12,13":                     closeFDs{[]int{12, 13}},
		"send payload=- fds=-":                send{Buffers: [][]byte{{}}},
		"send payload=68,656c fds=-1,2":       send{Buffers: [][]byte{[]byte("h"), []byte("el")}, FDs: []int{-1, 2}},
		"send payload=00 fds=- flags=-":       send{Buffers: [][]byte{{0}}},
		"send payload=00 fds=- flags=oob,eor": send{Buffers: [][]byte{{0}}, Flags: unix.MSG_OOB | unix.MSG_EOR},
		"send payload=@3 fds=- at=250":        send{Buffers: [][]byte{{250, 0, 1}}},
		"send payload=@2,-,ff,@2 fds=-":       send{Buffers: [][]byte{{0, 1}, {}, {0xff}, {3, 4}}},
		"recv bytes=0 fds=0":                  recv{Room: Room{Buffers: [][]byte{{}}}},
		"recv bytes=1,2 fds=3 flags=peek":     recv{Room: Room{Buffers: [][]byte{{0}, {0, 0}}, FDs: 3, Flags: unix.MSG_PEEK}},
		"recv bytes=1 fds=0 at=5000":          recv{Room: Room{Buffers: [][]byte{{0}}}, at: 5000},
	} {
		got, err := parse(line)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %v, %v, want %v", line, got, err, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, line := range []string{
		"", " ", "Hello", "hello ", " hello", "hello x", "hello x=1", "hello\r", "end fds=3",
		"use", "use sock=", "use sock=-", "use sock=-1", "use sock=+3", "use sock=03", "use sock=2147483648",
		"use sock=3 sock=3", "use sock=3  fds=4", "use sock=3 fds=", "use sock=3 fds=4,", "use sock=3 fds=-1",
		"close", "close fds=x",
		"send fds=-", "send payload=00", "send payload= fds=-", "send payload=0 fds=-", "send payload=AA fds=-",
		"send payload=00, fds=-", "send payload=@0 fds=-", "send payload=@ fds=-", "send payload=@99999999999 fds=-",
		"send payload=@67108864,00 fds=-", "send payload=00 fds=- at=-1", "send payload=00 fds=- flags=peek",
		"send payload=00 fds=- flags=", "send payload=00 fds=- bytes=1", "send payload=00 fds=4294967296",
		"recv bytes=1", "recv fds=1", "recv bytes=- fds=0", "recv bytes=-1 fds=0", "recv bytes=1 fds=-",
		"recv bytes=67108864,1 fds=0", "recv bytes=1 fds=0 flags=nosignal", "recv bytes=1 fds=65536",
	} {
		if got, err := parse(line); err == nil {
			t.Errorf("%q: got %v", line, got)
		}
	}
}

// What is accepted has only characters of the contract, and payloads have a limit.
func FuzzParse(f *testing.F) {
	for _, line := range []string{
		"hello", "use sock=3 fds=4,5", "send payload=@300,-,00 fds=-1 at=7 flags=eor",
		"recv bytes=1,2 fds=3 flags=peek", "close fds=4", "end", "send payload=\xff fds=",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		c, err := parse(line)
		if err != nil {
			return
		}
		if strings.Trim(line, "abcdefghijklmnopqrstuvwxyz0123456789=,-@ ") != "" {
			t.Errorf("%q was accepted", line)
		}
		m, ok := c.(send)
		if !ok {
			return
		}
		if whole := bytes.Join(m.Buffers, nil); len(whole) > maxPayload {
			t.Errorf("%q: %d bytes", line, len(whole))
		}
	})
}
