package programs

import (
	"bytes"
	"fmt"
)

// The payloads of the items.
var (
	zeroByte = []byte{0}
	newline  = []byte("\n")
	zeros    = make([]byte, 64)
	ones     = bytes.Repeat([]byte{0xff}, 64)
)

// An item is one way to pass descriptors that nobody asked for.
type item struct {
	payloads  [][]byte // each is sent on a connection of its own
	repeat    int      // how many messages a connection has; the last one carries the descriptors
	fds       int
	path      bool // opened with O_PATH
	dangerous bool // left out for a server that is running already
}

// items contains the items by their names in Items.
var items = map[string]item{
	"byte":    {payloads: thrice(zeroByte), repeat: 1, fds: 1},
	"newline": {payloads: thrice(newline), repeat: 1, fds: 1},
	"zeros":   {payloads: thrice(zeros), repeat: 1, fds: 1},
	"ones":    {payloads: thrice(ones), repeat: 1, fds: 1},
	"4k":      {payloads: thrice(make([]byte, 4096)), repeat: 1, fds: 1},
	"second":  {payloads: [][]byte{zeroByte, newline, zeros, ones}, repeat: 2, fds: 1},
	"253":     {payloads: [][]byte{zeroByte, newline, zeros, ones}, repeat: 1, fds: 253, dangerous: true},
	"path":    {payloads: [][]byte{zeroByte, newline, zeros, ones}, repeat: 1, fds: 1, path: true, dangerous: true},
}

// thrice shows whether the server keeps a descriptor for each connection, or only the last one.
func thrice(payload []byte) [][]byte { return [][]byte{payload, payload, payload} }

// A unit is a connection of an item.
type unit struct {
	trial   *pokeTrial
	payload []byte
	done    bool // it must not be sent again
}

// A pokeTrial is an item that is being sent.
type pokeTrial struct {
	item
	Trial
	units    []*unit
	judged   bool
	marker   *Marker
	sent     int    // descriptors on this server
	rejected bool   // the kernel has rejected the descriptors of a message, but not its bytes
	passed   bool   // a connection has a verdict, because the server did not fail, or ends after each
	why      string // why a connection has none
}

// undelivered reports whether the kernel has rejected every descriptor of the trial, so that none can be the reason for a failure.
func (t *pokeTrial) undelivered() bool { return t.rejected && t.sent == 0 }

// begin gives the trial a marker that no server has received.
func (t *pokeTrial) begin() (err error) {
	t.sent = 0
	t.marker, err = NewMarker()
	return err
}

// end ends a trial. It has a verdict if one of its connections has.
func (t *pokeTrial) end() {
	t.judged = true
	switch {
	case t.why != "" && !t.passed:
		t.Skipped = t.why
	case t.why != "":
		t.Notes = append(t.Notes, "not all connections: "+t.why)
	}
	if t.rejected {
		t.Notes = append(t.Notes, "the kernel rejects descriptors for this server (EPERM), as with SO_PASSRIGHTS, and only the bytes were sent")
	}
}

// find adds the finding for a failure.
func (t *pokeTrial) find(f *failure, output string) {
	check := CheckCrash
	if f.ended == nil {
		check = CheckRefuses
	}
	t.Find(check, f.predicate()+" after "+t.descriptors())
	t.Output, t.judged = output, true
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
