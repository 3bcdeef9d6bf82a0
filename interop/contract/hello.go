package contract

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// longestWord is the maximum length of a word in an answer to hello. It fits into a table.
const longestWord = 64

var abilities = strings.Join(SocketTypes, "|") + "|multi|iov|flags"

// helloForms are the fields of an answer to hello: the regular expression of each, and its
// description in an error.
var helloForms = map[string][2]string{
	"name":    {`.{1,64}`, "a word of up to 64 bytes"},
	"lang":    {`.{1,64}`, "a word of up to 64 bytes"},
	"version": {`.{1,64}`, "a word of up to 64 bytes"},
	"can":     {`(` + abilities + `)(,(` + abilities + `))*`, "a list of stream, dgram, seqpacket, multi, iov and flags"},
	"room":    {`(\*|0|[1-9][0-9]{0,18}),(\*|0|[1-9][0-9]{0,18})`, "BYTES,FDS"},
	"payload": {`([0-9a-f]{2}){1,32}`, "bytes"},
	"gc":      {`yes`, "yes"},
	"polls":   {`yes`, "yes"},
	"closes":  {`yes`, "yes"},
}

// A Hello is a peer's answer to the command hello. A peer must give the same answer every time.
type Hello struct {
	Name    string   `json:"-"` // a report has the peer's name in the run
	Lang    string   `json:"lang,omitempty"`
	Version string   `json:"version,omitempty"`
	Can     []string `json:"can,omitempty"`
	Room    string   `json:"room,omitempty"`
	Payload string   `json:"payload,omitempty"`
	GC      bool     `json:"gc,omitempty"`
	Polls   bool     `json:"polls,omitempty"`
	Closes  bool     `json:"closes,omitempty"`
}

// Offers reports whether can= contains the word.
func (h Hello) Offers(what string) bool { return slices.Contains(h.Can, what) }

// Same reports whether two answers to hello are equal.
func (h Hello) Same(before Hello) bool { return reflect.DeepEqual(h, before) }

// ParseHello parses an answer to hello. It returns an error if a field is unknown or
// malformed.
func ParseHello(answer string) (h Hello, err error) {
	l, err := ParseLine(answer)
	if err != nil {
		return h, err
	}
	f, can := l.Fields, l.List("can")
	if l.Verb != "ok" || len(l.Words) > 0 {
		return h, fmt.Errorf("not an answer to hello: %s", Quote(answer))
	}
	for _, key := range []string{"name", "can"} {
		if f[key] == "" {
			return h, fmt.Errorf("the answer to hello has no %s=: %s", key, Quote(answer))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(f)) {
		known, ok := helloForms[key]
		if !ok {
			return h, fmt.Errorf("unknown field %s=", Brief(key))
		}
		if !regexp.MustCompile("^(" + known[0] + ")$").MatchString(f[key]) {
			return h, fmt.Errorf("%s=%s is not %s", key, Brief(f[key]), known[1])
		}
	}
	if word := repeated(can); word != "" {
		return h, fmt.Errorf("duplicate %s in can=", word)
	}
	return Hello{
		Name:    f["name"],
		Lang:    f["lang"],
		Version: f["version"],
		Can:     can,
		Room:    f["room"],
		Payload: f["payload"],
		GC:      f["gc"] == "yes",
		Polls:   f["polls"] == "yes",
		Closes:  f["closes"] == "yes",
	}, nil
}
