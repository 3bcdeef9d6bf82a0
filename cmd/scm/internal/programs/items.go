package programs

import (
	"bytes"
	"fmt"
	"strings"
)

// The payloads of the items.
var (
	zeroByte = []byte{0}
	newline  = []byte("\n")
	zeros    = make([]byte, 64)
	ones     = bytes.Repeat([]byte{0xff}, 64)
	each     = [][]byte{zeroByte, newline, zeros, ones}
)

// An item is one way to pass descriptors that the server did not ask for.
type item struct {
	name, help string
	payloads   [][]byte // each is sent on a connection of its own
	before     int      // how many messages with the payload precede the one with the descriptors
	fds        int
	path       bool // opened with O_PATH
	dangerous  bool // left out for a server that is running already
}

// items contains what scm poke sends, in this order.
var items = []item{
	{name: "byte", help: "a descriptor with one zero byte", payloads: thrice(zeroByte), fds: 1},
	{name: "newline", help: "with a newline", payloads: thrice(newline), fds: 1},
	{name: "zeros", help: "with 64 zero bytes", payloads: thrice(zeros), fds: 1},
	{name: "ones", help: "with 64 bytes 0xff", payloads: thrice(ones), fds: 1},
	{name: "4k", help: "with 4096 zero bytes", payloads: thrice(make([]byte, 4096)), fds: 1},
	{name: "second", help: "with the second of two messages", payloads: each, before: 1, fds: 1},
	{name: "two", help: "two descriptors in one message", payloads: each, fds: 2},
	{name: "253", help: "253 descriptors in one message, the most that the kernel allows", payloads: each,
		fds: 253, dangerous: true},
	{name: "path", help: "a descriptor that was opened with O_PATH, which cannot be read", payloads: each,
		fds: 1, path: true, dangerous: true},
}

// thrice shows whether the server keeps a descriptor for each connection, or only the last one.
func thrice(payload []byte) [][]byte { return [][]byte{payload, payload, payload} }

// Items lists the names of the items.
var Items = func() (names []string) {
	for _, it := range items {
		names = append(names, it.name)
	}
	return names
}()

// ItemsHelp returns a line about each item.
func ItemsHelp() string {
	var b strings.Builder
	for _, it := range items {
		fmt.Fprintf(&b, "  %-8s %s\n", it.name, it.help)
	}
	return b.String()
}

// descriptors says what a connection passes.
func (i item) descriptors() string {
	switch {
	case i.path:
		return "a descriptor opened with O_PATH"
	case i.fds > 1:
		return fmt.Sprintf("%d descriptors in one message", i.fds)
	}
	return "a descriptor"
}
