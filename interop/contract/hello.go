package contract

import (
	"encoding/hex"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// longestWord is what a peer may say of itself in a word. A table has room for it.
const longestWord = 64

// What an answer to hello may have.
var (
	helloFields = []string{"name", "lang", "version", "can", "room", "payload", "gc", "polls"}
	abilities   = append(slices.Clone(SocketTypes), "multi", "iov", "flags") // words of can=
	roomForm    = regexp.MustCompile(`^(\*|0|[1-9][0-9]*),(\*|0|[1-9][0-9]*)$`)
)

// A Hello is a peer's answer to hello. It is the same whenever it is asked.
type Hello struct {
	Lang    string   `json:"lang,omitempty"`
	Version string   `json:"version,omitempty"`
	Can     []string `json:"can,omitempty"`
	Room    string   `json:"room,omitempty"`
	Payload string   `json:"payload,omitempty"`
	GC      bool     `json:"gc,omitempty"`
	Polls   bool     `json:"polls,omitempty"`
}

// Offers reports whether can= has the word.
func (h Hello) Offers(what string) bool { return slices.Contains(h.Can, what) }

// Same reports whether two answers to hello are the same.
func (h Hello) Same(before Hello) bool { return reflect.DeepEqual(h, before) }

// ParseHello reads an answer to hello. It returns an error if a field is unknown or
// malformed.
func ParseHello(answer string) (h Hello, err error) {
	l, err := ParseLine(answer)
	if err != nil {
		return h, err
	}
	if l.Verb != "ok" || l.Fields["name"] == "" || l.Fields["can"] == "" || len(l.Words) > 0 {
		return h, fmt.Errorf("not an answer to hello: %s", Quote(answer))
	}
	for _, key := range slices.Sorted(maps.Keys(l.Fields)) {
		switch value := l.Fields[key]; {
		case !slices.Contains(helloFields, key):
			return h, fmt.Errorf("%s= is nothing that the contract knows", Brief(key))
		case value == "":
			return h, fmt.Errorf("%s= is empty", key)
		case key != "can" && len(value) > longestWord:
			return h, fmt.Errorf("%s= is longer than %d bytes", key, longestWord)
		}
	}
	h = Hello{
		Lang:    l.Fields["lang"],
		Version: l.Fields["version"],
		Can:     l.List("can"),
		Room:    l.Fields["room"],
		Payload: l.Fields["payload"],
		GC:      l.Fields["gc"] == "yes",
		Polls:   l.Fields["polls"] == "yes",
	}
	for i, word := range h.Can {
		switch {
		case !slices.Contains(abilities, word):
			return h, fmt.Errorf("can=%s is nothing that the contract knows", Brief(word))
		case slices.Contains(h.Can[:i], word):
			return h, fmt.Errorf("can=%s is there twice", word)
		}
	}
	if h.Room != "" && !roomForm.MatchString(h.Room) {
		return h, fmt.Errorf("room=%s is not BYTES,FDS", h.Room)
	}
	for _, key := range []string{"gc", "polls"} {
		if value := l.Fields[key]; value != "" && value != "yes" {
			return h, fmt.Errorf("%s=%s is not yes", key, value)
		}
	}
	if _, err := hex.DecodeString(h.Payload); err != nil || strings.ToLower(h.Payload) != h.Payload {
		return h, fmt.Errorf("payload=%s is not bytes", h.Payload)
	}
	return h, nil
}

// SocketTypes are the types of socket that scenarios are played on.
var SocketTypes = []string{"stream", "dgram", "seqpacket"}
