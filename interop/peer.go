package interop

import (
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Peer is one interface of one library, as a program or inside this process.
type Peer struct {
	Name    string
	Command []string // the program, or
	Serve   func(in io.Reader, out io.Writer) error
	Why     string // why there is neither

	Hello Hello // what it says of itself; set by Probe

	kernel *Peer // of the runner: itself, where it plays both sides
}

// RunnerName is the runner's own name where it plays a side itself.
const RunnerName = "runner"

// KernelName is who plays both sides of a kernel scenario, and is found wrong
// there: the kernel, by way of the runner.
const KernelName = "kernel"

// Kernel is the runner as it plays both sides of kernel scenarios.
func (p *Peer) Kernel() *Peer {
	if p.kernel == nil {
		return p
	}
	return p.kernel
}

// Program is a peer that is started as a program.
func Program(name string, command ...string) *Peer {
	return &Peer{Name: name, Command: command}
}

// InProcess is a peer that is served inside this process.
func InProcess(name string, serve func(in io.Reader, out io.Writer) error) *Peer {
	return &Peer{Name: name, Serve: serve}
}

// Missing is a peer that there is not, and why.
func Missing(name, why string) *Peer {
	p := &Peer{Name: name, Why: why}
	if name == RunnerName {
		p.kernel = &Peer{Name: KernelName, Why: why}
	}
	return p
}

// Hello is a peer's answer to hello, which is the same whenever it is asked.
type Hello struct {
	Lang    string   `json:"lang,omitempty"`
	Version string   `json:"version,omitempty"`
	Can     []string `json:"can,omitempty"`
	Room    string   `json:"room,omitempty"`
	Payload string   `json:"payload,omitempty"`
	GC      bool     `json:"gc,omitempty"`
}

// longestWord is what a peer may say of itself in a word. A table has room for it.
const longestWord = 64

// What an answer to hello may have.
var (
	helloFields = []string{"name", "lang", "version", "can", "room", "payload", "gc"}
	abilities   = append(slices.Clone(SocketTypes), "multi", "iov", "flags") // words of can=
	roomForm    = regexp.MustCompile(`^(\*|0|[1-9][0-9]*),(\*|0|[1-9][0-9]*)$`)
)

func (h Hello) can(what string) bool { return slices.Contains(h.Can, what) }

// same tells whether a peer says of itself what it said before.
func (h Hello) same(before Hello) bool { return reflect.DeepEqual(h, before) }

func parseHello(answer string) (h Hello, err error) {
	l, err := parseLine(answer)
	if err != nil {
		return h, err
	}
	if l.verb != "ok" || l.fields["name"] == "" || l.fields["can"] == "" || len(l.words) > 0 {
		return h, fmt.Errorf("not an answer to hello: %s", quote(answer))
	}
	for _, key := range slices.Sorted(maps.Keys(l.fields)) {
		switch value := l.fields[key]; {
		case !slices.Contains(helloFields, key):
			return h, fmt.Errorf("%s= is nothing that the contract knows", brief(key))
		case value == "":
			return h, fmt.Errorf("%s= is empty", key)
		case key != "can" && len(value) > longestWord:
			return h, fmt.Errorf("%s= is longer than %d bytes", key, longestWord)
		}
	}
	h = Hello{
		Lang:    l.fields["lang"],
		Version: l.fields["version"],
		Can:     l.list("can"),
		Room:    l.fields["room"],
		Payload: l.fields["payload"],
		GC:      l.fields["gc"] == "yes",
	}
	for i, word := range h.Can {
		switch {
		case !slices.Contains(abilities, word):
			return h, fmt.Errorf("can=%s is nothing that the contract knows", brief(word))
		case slices.Contains(h.Can[:i], word):
			return h, fmt.Errorf("can=%s is there twice", word)
		}
	}
	if h.Room != "" && !roomForm.MatchString(h.Room) {
		return h, fmt.Errorf("room=%s is not BYTES,FDS", h.Room)
	}
	if gc := l.fields["gc"]; gc != "" && !h.GC {
		return h, fmt.Errorf("gc=%s is not yes", gc)
	}
	if _, err := hex.DecodeString(h.Payload); err != nil || strings.ToLower(h.Payload) != h.Payload {
		return h, fmt.Errorf("payload=%s is not bytes", h.Payload)
	}
	return h, nil
}

// takes tells why the peer cannot play this role of the scenario on this type
// of socket, or "".
func (p *Peer) takes(s *Scenario, role Role, socketType string) string {
	if !p.Hello.can(socketType) {
		return "no " + socketType
	}
	for _, c := range s.capabilities(role) {
		if !p.Hello.can(c) {
			return "no " + c
		}
	}
	if p.Hello.Payload != "" && s.otherPayload(p.Hello.Payload) {
		return "its payload is " + p.Hello.Payload
	}
	if p.Hello.Room == "" {
		return ""
	}
	bytes, fds, _ := strings.Cut(p.Hello.Room, ",")
	if room, err := strconv.Atoi(bytes); err == nil && s.largestPayload() > room {
		return "its room is " + p.Hello.Room
	}
	if s.RoomAny {
		return ""
	}
	for _, st := range s.Steps {
		if st.Role != role || st.Kind != StepSay {
			continue
		}
		l, _ := parseLine(st.Text)
		if l.verb != "recv" {
			continue
		}
		if bytes != "*" && l.fields["bytes"] != bytes || fds != "*" && l.fields["fds"] != fds {
			return "its room is " + p.Hello.Room
		}
	}
	return ""
}
