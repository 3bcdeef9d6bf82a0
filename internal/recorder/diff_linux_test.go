package recorder

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
)

// clone returns a call of which a test can change all bytes.
func clone(c Call) Call {
	c.Files = slices.Clone(c.Files)
	for _, s := range []*Snapshot{&c.Entry, &c.Exit} {
		*s = s.clone()
		for _, m := range s.memory() {
			m.Data = bytes.Clone(m.Data)
		}
	}
	c.redecode()
	return c
}

// First returns the difference in the earliest call, or nil.
func (o Comparison) First(a, b []Call) *Difference { return at(o.All(a, b), 0) }

// A Comparison compares every byte of a call that is not part of an address or a descriptor, and names
// the field that contains it.
func TestDiffEveryByte(t *testing.T) {
	for _, a := range archs {
		for _, c := range []Call{sentOne(a), receivedOne(a)} {
			for _, atExit := range []bool{false, true} {
				if atExit && !c.receives() {
					continue // a call that sends changes nothing
				}
				everyByte(t, c, atExit)
			}
		}
	}
}

func everyByte(t *testing.T, c Call, atExit bool) {
	t.Helper()
	snapshot := func(c *Call) *Snapshot {
		if atExit {
			return &c.Exit
		}
		return &c.Entry
	}
	for i, m := range snapshot(&c).memory() {
		fields := c.fields(snapshot(&c), m)
		for at := range m.Data {
			other := clone(c)
			snapshot(&other).memory()[i].Data[at] ^= 0x10
			other.redecode()
			f := fields[slices.IndexFunc(fields, func(f Field) bool { return at < f.Offset+f.Size })]
			d := Comparison{}.First([]Call{c}, []Call{other})
			where := fmt.Sprintf("%s %s, at exit %v, %s byte %d (%s)", c.Arch.Name, c.Name(), atExit, c.title(m), at, f.Name)
			if null := make([]byte, f.Size); f.kind == pointer && !bytes.Equal(f.cut(m.Data), null) {
				if d != nil {
					t.Errorf("%s: a pointer is not normalized: %v", where, d)
				}
				continue
			}
			if d == nil {
				t.Errorf("%s: no difference reported", where)
				continue
			}
			want := f.Name
			switch {
			case f.kind == padding && m.Kind == ControlData:
				want = "padding after cmsg_data"
			case f.kind == descriptor:
				want = "SCM_RIGHTS, descriptor 0"
			case m.Kind == Payload, m.Kind == Address:
				want = m.Kind.String()
			case f.Name == "data", strings.HasPrefix(f.Name, "+"), f.Name == "unused":
				want = ""
			}
			when := map[bool]When{false: AtEntry, true: AtReturn}[atExit]
			if !strings.HasSuffix(d.Field, want) || d.When != when || d.Memory != m.Kind {
				t.Errorf("%s: got %v, want field %q of %s, at %v", where, d, want, c.title(m), when)
			}
			// The length in a control message decides which fields follow it.
			if f.kind != descriptor && d.Offset != at && m.Kind != ControlData {
				t.Errorf("%s: reported as byte %d", where, d.Offset)
			}
		}
	}
}

// inOrder returns the first value, or on a big-endian architecture the second one.
func inOrder(little, big int) string {
	if lowHalf == 0 {
		return strconv.Itoa(little)
	}
	return strconv.Itoa(big)
}

func TestDiffFields(t *testing.T) {
	plainFile := func(fd int32, kind string) File { return File{FD: fd, Kind: kind, Name: kind, Access: "read"} }
	for _, c := range []struct {
		name   string
		change func(*Call)
		want   string // part of the report; empty for no difference
	}{
		{"nothing", func(*Call) {}, ""},
		{"addresses", func(c *Call) {
			c.Registers[1], c.Entry.Messages[0].Control.Addr = 0x1234, 0x5678
			put(c.headerLayout(), c.Entry.Messages[0].Header.Data, "msg_control", 0x5678)
		}, ""},
		{"NULL", func(c *Call) { put(c.headerLayout(), c.Entry.Messages[0].Header.Data, "msg_control", 0) },
			"at its entry: msg_control: an address against NULL (byte " + inOrder(33, 36) + " of msghdr)"},
		{"padding", func(c *Call) { c.Entry.Messages[0].Control.Data[21] = 0x7f },
			"padding after cmsg_data[1:2] of 4: 00 against 7f (byte 21 of control)"},
		{"a register that is not an argument", func(c *Call) { c.Registers[5] = 1 }, ""},
		{"the upper half of an int", func(c *Call) { c.Registers[2] |= 1 << 40 }, ""},
		{"flags", func(c *Call) { c.Registers[2] = 0 }, "flags: MSG_NOSIGNAL against 0"},
		{"another call", func(c *Call) { *c = receivedOne(amd64) }, "the call: sendmsg against recvmsg"},
		{"another processor", func(c *Call) { *c = sentOne(arm64) }, "the processor: amd64 against arm64"},
		{"a result", func(c *Call) { c.Result = 4 }, "at its exit: the result: 5 against 4"},
		{"an error", func(c *Call) { c.Result, c.Errno = -1, unix.EPIPE }, "the result: 5 against -1 EPIPE"},
		{"unfinished", func(c *Call) { c.Unfinished = true }, "the result: 5 against ? unfinished"},
		{"another descriptor for the same file", func(c *Call) {
			c.Registers[0], c.Files[0].FD, c.Files[0].Name = 7, 7, "socket:[99]"
			c.Files[1].FD = 9
			copy(c.Entry.Messages[0].Control.Data[16:], words(9))
			copy(c.Exit.Messages[0].Control.Data[16:], words(9))
		}, ""},
		{"another kind of file", func(c *Call) { c.Files[1] = plainFile(5, "pipe") },
			"SCM_RIGHTS, descriptor 0: descriptor 2 of the process, character device, read-write against descriptor 2 of the process, pipe, read (byte 16 of control)"},
		{"the socket itself", func(c *Call) {
			copy(c.Entry.Messages[0].Control.Data[16:], words(3))
		}, "SCM_RIGHTS, descriptor 0: descriptor 2 of the process, character device, read-write against descriptor 1 of the process, unix stream"},
		{"-1", func(c *Call) { copy(c.Entry.Messages[0].Control.Data[16:], words(0xffffffff)) },
			"SCM_RIGHTS, descriptor 0: descriptor 2 of the process, character device, read-write against -1"},
		{"a descriptor that is not open", func(c *Call) { c.Files[1] = File{FD: 5} }, "against not open"},
		{"one iovec less", func(c *Call) {
			put(c.headerLayout(), c.Entry.Messages[0].Header.Data, "msg_iovlen", 1)
		}, "msg_iovlen"},
		{"the length of an iovec", func(c *Call) { put(c.Arch.iovec(), c.Entry.Messages[0].Iovecs.Data[16:], "iov_len", 9) },
			"iovec 1, iov_len: 2 against 9 (byte " + inOrder(24, 31) + " of iovec)"},
		{"the payload", func(c *Call) { c.Entry.Messages[0].Payload[1].Data[1] = 'p' }, "payload 1[1:2] of 2: 6f against 70"},
		{"a longer payload", func(c *Call) {
			c.Entry.Messages[0].Payload[1].Data, c.Entry.Messages[0].Payload[1].Size = []byte("lo"+strings.Repeat("o", 15)), 17
		},
			"payload 1[2:17] of 2 and 17: nothing against 6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f"},
		{"the payload after the recorded bytes", func(c *Call) { c.Exit.Messages[0].Payload[1].Sum = "sum" },
			"at its exit: payload 1[2:2] of 2: SHA-256  against SHA-256 73756d"},
	} {
		other := sentOne(amd64)
		c.change(&other)
		other.redecode()
		d := Comparison{}.First([]Call{sentOne(amd64)}, []Call{other})
		switch {
		case c.want == "" && d != nil:
			t.Errorf("%s: got %v, want no difference", c.name, d)
		case c.want != "" && (d == nil || !strings.Contains(d.String(), c.want)):
			t.Errorf("%s: %v, want %s", c.name, d, c.want)
		}
	}
}

// Memory that the kernel neither reads nor writes is compared by the zero Comparison, but not by UsedMemory.
func TestDiffUsedMemory(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Call)
		all    bool // the zero Comparison reports it
		used   bool // UsedMemory reports it
	}{
		{"the buffer for the payload, before", func(c *Call) { c.Entry.Messages[0].Payload[0].Data[0] = 'x' }, true, false},
		{"the buffer for control data, before", func(c *Call) { c.Entry.Messages[0].Control.Data[0] = 'x' }, true, false},
		{"the buffer for the address, before", func(c *Call) { c.Entry.Messages[0].Address.Data[0] = 'x' }, true, false},
		{"after the payload", func(c *Call) { c.Exit.Messages[0].Payload[0].Data[5] = 'x' }, true, false},
		{"after the control data", func(c *Call) { b := c.Exit.Messages[0].Control.Data; b[len(b)-1] = 'x' }, true, false},
		{"padding after received data", func(c *Call) { c.Exit.Messages[0].Control.Data[28] = 'x' }, true, false},
		{"after the address", func(c *Call) { c.Exit.Messages[0].Address.Data[7] = 'x' }, true, false},
		{"the payload", func(c *Call) { c.Exit.Messages[0].Payload[0].Data[4] = 'x' }, true, true},
		{"the user", func(c *Call) { c.Exit.Messages[0].Control.Data[20] = 'x' }, true, true},
		{"the address", func(c *Call) { c.Exit.Messages[0].Address.Data[6] = 'x' }, true, true},
		{"msg_flags, before", func(c *Call) { c.Entry.Messages[0].Header.Data[48] = 'x' }, true, true},
		{"the capacity for control data", func(c *Call) { put(c.headerLayout(), c.Entry.Messages[0].Header.Data, "msg_controllen", 99) }, true, true},
		{"close-on-exec", func(c *Call) { c.Files[1].CloseOnExec = false }, true, true},
	} {
		a, b := receivedOne(amd64), receivedOne(amd64)
		c.change(&b)
		b.redecode()
		if d := (Comparison{}).First([]Call{a}, []Call{b}); (d != nil) != c.all {
			t.Errorf("%s: Comparison{}: %v", c.name, d)
		}
		if d := UsedMemory.First([]Call{a}, []Call{b}); (d != nil) != c.used {
			t.Errorf("%s: UsedMemory: %v", c.name, d)
		}
	}
}

// The kernel ignores a field only as long as neither call makes it read or write the field.
func TestDiffIgnored(t *testing.T) {
	header := func(c *Call, atExit bool, field string, value uint64) {
		s := &c.Entry
		if atExit {
			s = &c.Exit
		}
		put(c.headerLayout(), s.Messages[0].Header.Data, field, value)
	}
	reused := receivedOne(amd64)
	header(&reused, false, "msg_flags", unix.MSG_CTRUNC)
	header(&reused, true, "msg_flags", unix.MSG_CTRUNC)
	for _, c := range []struct {
		name  string
		a     Call
		stale func(*Call)
		want  string // the differences that count
	}{
		{"flags before a send", sentOne(amd64), func(c *Call) { header(c, false, "msg_flags", 1); header(c, true, "msg_flags", 1) }, ""},
		{"flags before a receive", receivedOne(amd64), func(c *Call) { header(c, false, "msg_flags", 1) }, ""},
		{"flags on return", receivedOne(amd64), func(c *Call) { header(c, true, "msg_flags", unix.MSG_CTRUNC) },
			"recvmsg: msg_flags on return: MSG_CTRUNC|MSG_CMSG_CLOEXEC against MSG_CTRUNC"},
		{"flags before, and the same on return", reused, func(c *Call) {
			header(c, false, "msg_flags", unix.MSG_TRUNC)
			header(c, true, "msg_flags", unix.MSG_TRUNC)
		}, "recvmsg: msg_flags on return: MSG_CTRUNC against MSG_TRUNC"},
		{"no name", sentOne(amd64), func(c *Call) { header(c, false, "msg_namelen", 9) }, ""},
		{"a name", receivedOne(amd64), func(c *Call) { header(c, false, "msg_namelen", 9) }, "recvmsg: msg_namelen: 16 against 9"},
		{"padding before a receive", receivedOne(amd64), func(c *Call) { c.Entry.Messages[0].Header.Data[52] = 1 }, ""},
		{"padding after sent data", sentOne(amd64), func(c *Call) { c.Entry.Messages[0].Control.Data[20] = 1 }, ""},
		{"padding in the buffer of a receive", receivedOne(amd64), func(c *Call) { c.Exit.Messages[0].Control.Data[28] = 1 },
			"recvmsg: control message 0, padding after cmsg_data[0:1] of 4 on return: 00 against 01"},
		{"close-on-exec", receivedOne(amd64), func(c *Call) { c.Files[1].CloseOnExec = false },
			"recvmsg: control message 1, SCM_RIGHTS, close-on-exec on return: set against not set"},
		{"one iovec less", sentOne(amd64), func(c *Call) {
			c.Entry.Messages[0].Iovecs.Data = c.Entry.Messages[0].Iovecs.Data[:16]
		}, "sendmsg: iovec 1, iov_base: an address against nothing; sendmsg: iovec 1, iov_len: 2 against nothing"},
		{"what a failed call leaves behind", receivedOne(amd64), func(c *Call) {
			c.Result, c.Errno, c.Unread = -1, unix.EAGAIN, errors.New("/proc/8/mem")
			c.Exit = c.Entry.clone()
		}, "recvmsg: the result on return: 5 MSG_CTRUNC|MSG_CMSG_CLOEXEC against -1 EAGAIN"},
	} {
		b := clone(c.a)
		c.stale(&b)
		b.redecode()
		var counted []string
		for _, d := range (Comparison{}).All([]Call{c.a}, []Call{b}) {
			if !d.Ignored() {
				counted = append(counted, d.Text())
			}
		}
		if got := strings.Join(counted, "; "); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// An argument of scm diff --allow is the text of a difference, or without values where any two are allowed.
func TestParseAllowance(t *testing.T) {
	const values, form, rangeText = "needs a difference with both values", "needs a line such as ", "needs a range of bytes in the buffer, such as payload[1:4] of 16 "
	for line, want := range map[string]string{
		"recvmsg: flags": "", "recvmsg: msg_flags on return": "", "recvmmsg: message 3, iovec 1, iov_len": "",
		"recvmsg: SCM_RIGHTS, close-on-exec on return": "", "recvmsg: SCM_PIDFD, close-on-exec on return": "", "recvmsg: msg_controllen": "",
		"recvmsg: control message 1, SCM_RIGHTS, close-on-exec on return: not set against set": "",
		"recvmsg: the result on return": values, "recvmsg: the call": values, "recvmmsg: message 0, msg_len on return": values,
		"recvmsg: SCM_RIGHTS, descriptor 0 on return": values, "sendmsg: argument 0": values, "sendmsg: payload": values,
		"sendmsg: control data": values, "sendmsg: cmsg_len": values, "recvmsg: received descriptor 1 at the exit of process 1": values,
		"recvmsg: another close-on-exec on return": values, "flags": form, "": form, "sendmsg: flags: 0": form, "sendmsg: flags[0:1] of 4": values,
		"sendmsg: payload[1:4] of 16": "", "sendmsg: payload 1[1:4] of 16": "", "recvmsg: payload[0:4] of 4 on return": "",
		"sendmmsg: message 1, payload 2[0:4] of 4": "", "sendmsg: payload[1:7] of 6 and 7: 61 against 62": "",
		"sendmsg: payload[1:4] of 16 and 17": values, "sendmsg: payload x[1:4] of 16": form, "sendmsg: payload[1:4] of 16 or so": form,
		"sendmsg: address[1:4] of 16": values, "sendmsg: address[1:4] of 16: 61 against 62": "",
		"sendmsg: payload[4:4] of 16": rangeText, "sendmsg: payload[4:2] of 16": rangeText, "sendmsg: payload[-1:1] of 16": rangeText,
		"sendmsg: payload[1:17] of 16": rangeText, "sendmsg: payload[1-4] of 16": rangeText, "sendmsg: payload[1:4]": rangeText,
		"sendmsg: address[4:4] of 16: 61 against 62": rangeText,
		"call 3 of process 2, sendmsg: flags":        "", "calls 3-9 of connection 2, sendmsg: payload[1:4] of 16": "",
		"call 0 of process 2, sendmsg: flags": form, "calls 9-3 of process 2, sendmsg: flags": form, "call 3 of process 0, sendmsg: flags": form,
		"call 3 of thread 2, sendmsg: flags": form, "call 3, sendmsg: flags": form, "call +3 of process 2, sendmsg: flags": form,
		"sendmgs: flags": form, "call 3 of process 1, send (sendmsg), at its entry: flags: 0 against MSG_NOSIGNAL": form,
		"calls 3-3 of process 1, sendmsg: flags": form, "sendmsg: payload[01:4] of 16": form, "sendmsg:payload[1:4] of 16": form,
	} {
		a, err := ParseAllowance(line)
		switch {
		case want == "" && (err != nil || a.String() != line):
			t.Errorf("%q: %v, %v", line, a, err)
		case want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)):
			t.Errorf("%q: %v, want %s…", line, err, want)
		}
	}
}

// parsed parses an argument of scm diff --allow, and prepares the comparison for it.
func (o *Comparison) parsed(t *testing.T, line string) *Allowance {
	t.Helper()
	a, err := ParseAllowance(line)
	if err == nil {
		err = o.Allow(a)
	}
	if err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return a
}

// A line allows the difference that it describes, in the calls that it names or in all of them, and no other one.
func TestAllows(t *testing.T) {
	send := func(parts ...string) Call {
		m := built{payload: parts}
		return call(amd64, "sendmsg", 0, m, m, 0)
	}
	sent := sentOne(amd64)
	flagged := clone(sent)
	flagged.Registers[2] = 0
	flagged.redecode()
	received := receivedOne(amd64)
	unset := clone(received)
	unset.Files[1].CloseOnExec = false
	for _, c := range []struct {
		a, b  Call
		line  string
		calls string // those of four that the line allows
	}{
		{sent, flagged, "sendmsg: flags", "1234"},
		{sent, flagged, "sendmsg: flags on return", ""},
		{sent, flagged, "sendmsg: flags: MSG_NOSIGNAL against 0", "1234"},
		{sent, flagged, "sendmsg: flags: MSG_NOSIGNAL against 1", ""},
		{sent, flagged, "recvmsg: flags", ""},
		{sent, flagged, "call 2 of process 1, sendmsg: flags", "2"},
		{sent, flagged, "calls 2-3 of process 1, sendmsg: flags: MSG_NOSIGNAL against 0", "23"},
		{sent, flagged, "calls 1-4 of process 2, sendmsg: flags", ""},
		{received, unset, "recvmsg: control message 1, SCM_RIGHTS, close-on-exec on return: set against not set", "1234"},
		{received, unset, "recvmsg: control message 0, SCM_RIGHTS, close-on-exec on return: set against not set", ""},
		{received, unset, "recvmsg: SCM_RIGHTS, close-on-exec on return: set against not set", ""},
		{send("ab", "cd"), send("ab", "xd"), "sendmsg: payload[0:1] of 2", "1234"},
		{send("ab", "cd"), send("ab", "xd"), "sendmsg: payload 0[0:1] of 2", ""},
		{send("ab", "cd"), send("ab", "xd"), "sendmsg: payload 1[0:1] of 2", "1234"},
		{send("ab", "cd"), send("ab", "xd"), "calls 2-4 of process 1, sendmsg: payload 1[0:1] of 2", "234"},
		{send("ab", "cd"), send("ab", "xd"), "calls 2-4 of process 1, sendmsg: payload[0:1] of 2", ""},
		{send("ab", "cd"), send("ab", "xd"), "sendmsg: payload[0:1] of 2: 63 against 78", ""},
		{send("ab", "cd"), send("ab", "xd"), "sendmsg: payload 1[0:1] of 2: 63 against 78", "1234"},
		{send("ab", "cd"), send("ab", "xd"), "sendmsg: payload 1[0:2] of 2: 63 against 78", ""},
	} {
		var o Comparison
		allowance, calls := o.parsed(t, c.line), ""
		for i, d := range o.All([]Call{c.a, c.a, c.a, c.a}, []Call{c.b, c.b, c.b, c.b}) {
			if allowance.Allows(d) {
				calls += strconv.Itoa(i + 1)
			}
		}
		if calls != c.calls {
			t.Errorf("%s: allowed in the calls %q, want %q", c.line, calls, c.calls)
		}
	}
	missing := &Difference{A: &sent, Place: inCall(OtherCall).Place, TextA: "sendmsg", TextB: "none"}
	if a := new(Comparison).parsed(t, missing.Text()); !a.Allows(missing) {
		t.Errorf("%v does not allow %v", a, missing)
	}
	a, err := ParseAllowance("call 1 of connection 1, sendmsg: flags")
	if err != nil || new(Comparison).Allow(a) == nil || (&Comparison{ByConnection: true}).Allow(a) != nil {
		t.Errorf("%v, %v: allowed for processes, or not for connections", a, err)
	}
}

// The bytes that vary are allowed exactly: each in its buffer, and in calls one after the other by one line.
func TestAllowVariation(t *testing.T) {
	send := func(parts ...string) Call {
		m := built{payload: parts}
		return call(amd64, "sendmsg", 0, m, m, 0)
	}
	calls := func(texts ...string) (list []Call) {
		for i, text := range texts {
			c := send(strings.Split(text, " ")...)
			c.seq = i
			list = append(list, c)
		}
		return list
	}
	for _, c := range []struct {
		name string
		runs [][]Call
		want []string
		more string // for each run after the first, whether it brings something new
	}{
		{"one byte in one of two buffers", [][]Call{calls("abcd abcd"), calls("abxd abcd"), calls("abxd abcd")},
			[]string{"call 1 of process 1, sendmsg: payload 0[2:3] of 4"}, "yn"},
		{"the bytes on both sides, first and last", [][]Call{calls("abcdef"), calls("axcdxf"), calls("abxxef"), calls("axxxef")},
			[]string{"call 1 of process 1, sendmsg: payload[1:5] of 6"}, "yyn"},
		{"bytes with others between", [][]Call{calls("abcdef"), calls("xbxdex")},
			[]string{"call 1 of process 1, sendmsg: payload[0:1] of 6", "call 1 of process 1, sendmsg: payload[2:3] of 6", "call 1 of process 1, sendmsg: payload[5:6] of 6"}, "y"},
		{"calls one after the other", [][]Call{calls("ab", "ab", "ab"), calls("xb", "ab", "xb"), calls("ab", "xb", "ab")},
			[]string{"calls 1-3 of process 1, sendmsg: payload[0:1] of 2"}, "yy"},
		{"calls with another between", [][]Call{calls("ab", "ab", "ab"), calls("xb", "ab", "xb")},
			[]string{"call 1 of process 1, sendmsg: payload[0:1] of 2", "call 3 of process 1, sendmsg: payload[0:1] of 2"}, "y"},
		{"calls with a buffer of another length between", [][]Call{calls("ab", "abc", "ab"), calls("xb", "abc", "xb")},
			[]string{"calls 1-3 of process 1, sendmsg: payload[0:1] of 2"}, "y"},
		{"calls with more buffers between", [][]Call{calls("ab", "ab ab", "ab"), calls("xb", "ab ab", "xb")},
			[]string{"calls 1-3 of process 1, sendmsg: payload[0:1] of 2"}, "y"},
		{"another range in a later call", [][]Call{calls("abcd", "abcd", "abcd"), calls("axcd", "axxd", "axcd")},
			[]string{"call 1 of process 1, sendmsg: payload[1:2] of 4", "call 2 of process 1, sendmsg: payload[1:3] of 4", "call 3 of process 1, sendmsg: payload[1:2] of 4"}, "y"},
		{"nothing", [][]Call{calls("ab"), calls("ab")}, nil, "n"},
	} {
		for _, byConnection := range []bool{false, true} {
			o, v, more := Comparison{ByConnection: byConnection}, Variation{}, ""
			for _, again := range c.runs[1:] {
				others, isMore := v.Add(o.All(c.runs[0], again))
				more += map[bool]string{true: "y", false: "n"}[isMore]
				if len(others) > 0 {
					t.Errorf("%s: %v", c.name, others)
				}
			}
			var lines []string
			for _, a := range o.AllowVariation(c.runs[0], v) {
				lines = append(lines, strings.Replace(a.String(), "connection", "process", 1))
				if again, err := ParseAllowance(a.String()); err != nil || *again != *a {
					t.Errorf("%s: --allow accepts %v as %v, %v", c.name, a, again, err)
				}
			}
			if !slices.Equal(lines, c.want) || more != c.more {
				t.Errorf("%s: %q, new %s; want %q, %s", c.name, lines, more, c.want, c.more)
			}
		}
	}
	// A byte that is allowed in one buffer counts in another one. A line without a buffer number is not for messages
	// with two.
	var o Comparison
	v := Variation{}
	v.Add(o.All(calls("ab", "ab ab"), calls("xb", "xb ab")))
	list := o.AllowVariation(calls("ab", "ab ab"), v)
	for _, d := range o.All(calls("ab", "ab ab"), calls("yb", "yb yb")) {
		if got := slices.ContainsFunc(list, func(a *Allowance) bool { return a.Allows(d) }); got != (d.Index < 1) {
			t.Errorf("%v: allowed %v by %v", d, got, list)
		}
	}
}

// A difference is near bytes that vary if one of its bytes is next to them, or after one other byte.
func TestNear(t *testing.T) {
	send := func(text string) []Call {
		m := built{payload: []string{text}}
		return []Call{call(amd64, "sendmsg", 0, m, m, 0)}
	}
	const text = "0123456789ab"
	for b, want := range map[string]bool{
		"x123456789ab": false, "01x3456789ab": false, "012x456789ab": true, "0123x56789ab": true,
		"01234567x9ab": true, "012345678xab": true, "0123456789xb": false, "x123456789ax": false,
		"x12345x789ax": false, "x12x45x789ax": true,
	} {
		var o Comparison
		a := o.parsed(t, "sendmsg: payload[5:8] of 12")
		found := o.All(send(text), send(b))
		if d := found[len(found)-1]; a.Near(d) != want { // the first one may be in the range
			t.Errorf("%s: %v, want near %v", b, d, want)
		}
	}
}

func TestComparison(t *testing.T) {
	carrying := func(pid int, control []byte) Call {
		c := call(amd64, "sendmsg", 0, built{control: control}, built{control: control}, 0)
		c.Process = &Process{PID: pid}
		return c
	}
	message := func(typ int32, values ...uint32) []byte {
		return cmsg(amd64, unix.SOL_SOCKET, typ, words(values...), 0)
	}
	credentials := func(pid, of uint32) Call { return carrying(int(pid), message(unix.SCM_CREDENTIALS, of, 0, 0)) }
	descriptor := func(fd uint32, more ...byte) Call {
		c := carrying(100, append(message(unix.SCM_RIGHTS, fd), more...))
		c.Files = append(c.Files, fileAt(int32(fd), false, false))
		return c
	}
	two := carrying(100, message(unix.SCM_RIGHTS, 5, 6))
	two.Files = append(descriptor(5).Files, fileAt(6, false, false))
	payload := func(parts ...string) Call {
		return call(amd64, "sendmsg", 0, built{payload: parts}, built{payload: parts}, 0)
	}
	to := func(path string) Call {
		m := built{name: append(order.AppendUint16(nil, unix.AF_UNIX), path...)}
		return call(amd64, "sendmsg", 0, m, m, 0)
	}
	unpadded := carrying(100, message(unix.SCM_RIGHTS, 5)[:amd64.cmsghdr().size()+4])
	unpadded.Files = descriptor(5).Files
	pipe := descriptor(5)
	pipe.Files[1].Kind = "pipe"
	timestamp := func(v uint32) Call { return carrying(100, message(unix.SO_TIMESTAMP, v, 0)) }
	unknown := Call{Process: someProcess, Arch: amd64, Nr: 9999}
	exact := Comparison{ExactIDs: true}
	kinds := Comparison{ExactIDs: true, Describe: func(_ int32, f *File) string { return f.Kind }}
	for _, c := range []struct {
		name string
		o    Comparison
		a, b Call
		want string // the fields
	}{
		{"another descriptor", Comparison{}, descriptor(5), descriptor(6), ""},
		{"another descriptor, exactly", exact, descriptor(5), descriptor(6), "SCM_RIGHTS, descriptor 0"},
		{"descriptors with the same description", kinds, descriptor(5), descriptor(6), ""},
		{"descriptors with different descriptions", kinds, descriptor(5), pipe, "SCM_RIGHTS, descriptor 0"},
		{"its own credentials", Comparison{}, credentials(100, 100), credentials(200, 200), ""},
		{"its own credentials, exactly", exact, credentials(100, 100), credentials(200, 200), ""},
		{"its own credentials against another's", Comparison{},
			credentials(100, 100), credentials(200, 8), "SCM_CREDENTIALS, pid"},
		{"another process's credentials", Comparison{}, credentials(100, 7), credentials(100, 8), ""},
		{"another process's credentials, exactly", exact, credentials(100, 7), credentials(100, 8), "SCM_CREDENTIALS, pid"},
		{"its own credentials against those of process ID 1", exact, credentials(100, 100), credentials(100, 1), "SCM_CREDENTIALS, pid"},
		{"truncated credentials", Comparison{}, carrying(100, message(unix.SCM_CREDENTIALS, 100, 1)), carrying(200, message(unix.SCM_CREDENTIALS, 200, 2)),
			"SCM_CREDENTIALS, uid"},
		{"the time", Comparison{}, timestamp(1), timestamp(2), "cmsg_data"},
		{"any time", Comparison{AnyTime: true}, timestamp(1), timestamp(2), ""},
		{"a longer buffer", Comparison{}, descriptor(5), descriptor(5, 1, 0, 0, 0), "msg_controllen; control data"},
		{"a descriptor and none", UsedMemory, descriptor(5), carrying(100, nil),
			"msg_control; msg_controllen; cmsg_len; cmsg_level; cmsg_type; SCM_RIGHTS, descriptor 0"},
		{"none and a descriptor", UsedMemory, carrying(100, nil), descriptor(5),
			"msg_control; msg_controllen; cmsg_len; cmsg_level; cmsg_type; SCM_RIGHTS, descriptor 0"},
		{"one descriptor and two", UsedMemory, descriptor(5), two, "cmsg_len; SCM_RIGHTS, descriptor 1"},
		{"a descriptor and credentials", UsedMemory, descriptor(5), credentials(100, 100), "msg_controllen; cmsg_len; cmsg_type; " +
			"SCM_RIGHTS, descriptor 0; SCM_CREDENTIALS, pid; SCM_CREDENTIALS, uid; SCM_CREDENTIALS, gid"},
		{"an iovec less", UsedMemory, payload("1", "2"), payload("1"), "msg_iovlen; iovec 1, iov_base; iovec 1, iov_len; payload 1"},
		{"an iovec more", UsedMemory, payload("1"), payload("1", "2"), "msg_iovlen; iovec 1, iov_base; iovec 1, iov_len; payload 1"},
		{"another recipient", UsedMemory, to("one"), to("two"), "address"},
		{"no recipient", UsedMemory, payload(), to("two"), "msg_name; msg_namelen; address"},
		{"without padding", UsedMemory, descriptor(5), unpadded, "msg_controllen; padding after cmsg_data"},
		{"with padding", UsedMemory, unpadded, descriptor(5), "msg_controllen; padding after cmsg_data"},
		{"an unknown call", Comparison{}, unknown, unknown, "arguments"},
	} {
		var fields []string
		for _, d := range c.o.All([]Call{c.a}, []Call{c.b}) {
			fields = append(fields, d.Place.String())
			counted := strings.Contains(d.Field, ", descriptor ") || strings.HasSuffix(d.Field, ", pid")
			if d.InOrder() != counted {
				t.Errorf("%s: %v: depends on the order of calls: %v", c.name, d, d.InOrder())
			}
		}
		if got := strings.Join(fields, "; "); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	one, later := descriptor(5), descriptor(7)
	two.Process, later.Process = one.Process, one.Process
	found := UsedMemory.All([]Call{one, later}, []Call{two, later})
	const text = "sendmsg: SCM_RIGHTS, descriptor 1: nothing against descriptor 3 of the process, character device, read-write"
	if last := at(found, 1); len(found) != 2 || last.Text() != text {
		t.Errorf("one descriptor and two, and the same descriptor later: %v, want %s at the end", found, text)
	}
	first, second := to("\x0000001"), to("\x0000002")
	if d := UsedMemory.First([]Call{first, first}, []Call{first, second}); d == nil || !d.InOrder() {
		t.Errorf("another name that the kernel has chosen: %v", d)
	}
}

// Payloads that differ in another byte, or only after the bytes that are printed, have different texts.
func TestDiffLongPayload(t *testing.T) {
	send := func(ones ...int) []Call {
		c := sentOne(amd64)
		m := &c.Entry.Messages[0].Payload[1]
		m.Data, m.Size, m.Used = make([]byte, 40), 40, 40
		for _, i := range ones {
			m.Data[i] = 1
		}
		return []Call{c}
	}
	first, second := UsedMemory.First(send(), send(0)), UsedMemory.First(send(), send(0, 39))
	const zeros = "sendmsg: payload 1[0:40] of 40: 00000000000000000000000000000000… (SHA-256 "
	if new(Comparison).parsed(t, first.Text()).Allows(second) || !strings.HasPrefix(second.Text(), zeros) {
		t.Errorf("got %q after %q, want another that begins with %q", second.Text(), first.Text(), zeros)
	}
	if last := UsedMemory.First(send(), send(39)); last.Text() != "sendmsg: payload 1[39:40] of 40: 00 against 01" {
		t.Error(last.Text())
	}
}

// A text identifies a value, because --allow compares texts. The values of B are those of each 4 bytes of a call, of
// which some may be missing. The values of pointers, and those that are counted, are replaced.
func TestTextsIdentifyValues(t *testing.T) {
	values := []uint32{0, 10, 20} // and 0x10 and 0x20
	for bit := range 32 {
		values = append(values, 1<<bit)
	}
	for _, a := range []Call{sentOne(amd64), receivedOne(amd64)} {
		valueOf, memory := map[string]string{}, slices.Concat(a.Entry.memory(), a.Exit.memory())
		for i, m := range memory {
			for at := 0; at+4 <= len(m.Data); at += 4 {
				for _, v := range values {
					for size := at; size <= at+4; size++ {
						b := clone(a)
						changed := slices.Concat(b.Entry.memory(), b.Exit.memory())[i]
						copy(changed.Data[at:], words(v))
						changed.Data = changed.Data[:size]
						b.redecode()
						for _, d := range (Comparison{}).All([]Call{a}, []Call{b}) {
							if d.ordinal || strings.Contains("NULL, an address", d.TextB) {
								continue
							}
							value := d.BytesB
							if d.To > 0 {
								value = value[min(d.From, len(value)):min(d.To, len(value))]
							}
							text := fmt.Sprint(d.Key(), d.bytes(), ": ", d.TextB)
							if other, ok := valueOf[text]; ok && other != string(value) {
								t.Errorf("%s for %x and %x", text, value, other)
							}
							valueOf[text] = string(value)
						}
					}
				}
			}
		}
	}
}

// A range of bytes in payloads of one length is reported by itself, and hides neither the bytes around it nor payloads
// of another length.
func TestDiffPayloadBytes(t *testing.T) {
	const middle = "sendmsg: payload[1:4] of 6"
	for _, c := range []struct{ a, b, want string }{
		{"abcdef", "axxxef", "allowed " + middle + ": 626364 against 787878"},
		{"abcdef", "abcxef", "allowed sendmsg: payload[3:4] of 6: 64 against 78"},
		{"abcdef", "xxcdex", "allowed sendmsg: payload[1:2] of 6: 62 against 78; sendmsg: payload[0:6] of 6: 61......6566 against 78......6578"},
		{"abcdef", "abcdxf", "sendmsg: payload[4:5] of 6: 65 against 78"},
		{"abcdexy", "abxdexy", "sendmsg: payload[2:3] of 7: 63 against 78"},
		{"abc", "abcdef", "sendmsg: iov_len: 3 against 6; sendmsg: payload[3:6] of 3 and 6: nothing against 646566"},
	} {
		var o Comparison
		allowance := o.parsed(t, middle)
		send := func(text string) []Call {
			m := built{payload: []string{text}}
			return []Call{call(amd64, "sendmsg", 0, m, m, 0)}
		}
		var got []string
		for _, d := range o.All(send(c.a), send(c.b)) {
			got = append(got, map[bool]string{true: "allowed "}[allowance.Allows(d)]+d.Text())
		}
		if text := strings.Join(got, "; "); text != c.want {
			t.Errorf("%q and %q: %s, want %s", c.a, c.b, text, c.want)
		}
	}
}

// Processes are paired by their place in the tree. Those without calls are left out.
func TestDiffProcesses(t *testing.T) {
	tree := func() func(seq, pid int, path ...int) Call {
		known := map[string]*Process{}
		return func(seq, pid int, path ...int) Call {
			var p *Process
			for i, order := range path {
				key := fmt.Sprint(path[:i+1])
				if known[key] == nil {
					known[key] = &Process{parent: p, order: order}
				}
				p = known[key]
			}
			p.PID = pid
			c := clone(sentOne(amd64))
			c.Process, c.seq = p, seq
			return c
		}
	}
	in := tree()
	a := []Call{in(0, 10, 0), in(1, 11, 0, 0), in(2, 12, 0, 1)}
	in = tree()
	b := []Call{in(0, 22, 0, 3, 5), in(1, 20, 0, 3), in(2, 21, 0, 3, 1)}
	if d := (Comparison{}).First(a, b); d != nil {
		t.Error(d)
	}
	b[0].Result = 1
	if d := (Comparison{}).First(a, b); d == nil || d.Process != 3 || d.Call != 1 {
		t.Errorf("in the second child: %v", d)
	}
	last := clone(a[0])
	last.seq = 3
	if found := (Comparison{}).All(append(slices.Clip(a), last), b); len(found) != 2 || found[0].Process != 3 || found[1].Process != 1 {
		t.Errorf("and a last call of the parent: %v", found)
	}
	if d := (Comparison{}).First(a, b[1:]); d == nil || d.Process != 3 || d.TextA != "sendmsg" || d.TextB != "none" {
		t.Errorf("no second child: %v", d)
	}
	if d := (Comparison{}).First(nil, a); d == nil || d.TextA != "none" {
		t.Errorf("no process: %v", d)
	}
	b[2].Entry.Messages[0].Payload[0].Data[0] = 'x'
	if found := (Comparison{}).All(a[:2], b); len(found) != 2 || found[0].Process != 2 || found[1].Process != 3 {
		t.Errorf("and a process of B alone: %v", found)
	}
}

// passing returns calls that receive or send a descriptor. "5<a" receives the file a as descriptor 5, "5>a" sends it,
// and "50>a=0" sends the descriptor that call 0 received, as descriptor 50.
func passing(t *testing.T, steps string) (calls []Call) {
	t.Helper()
	for i, step := range strings.Fields(steps) {
		step, number, isReceived := strings.Cut(step, "=")
		value, name, receives := strings.Cut(step, "<")
		c, data := receivedOne(amd64), func(c *Call) []byte { return c.Exit.Messages[0].Control.Cmsgs[1].Data }
		if !receives {
			value, name, _ = strings.Cut(step, ">")
			c, data = sentOne(amd64), func(c *Call) []byte { return c.Entry.Messages[0].Control.Cmsgs[0].Data }
		}
		fd, err := strconv.Atoi(value)
		fdtest.Must(t, err)
		f := File{FD: int32(fd), Kind: "regular", Name: name, Access: "read", identity: name, AtExit: receives}
		if isReceived {
			from, err := strconv.Atoi(number)
			fdtest.Must(t, err)
			f.from = &Receipt{seq: from, FD: calls[from].Files[1].FD}
		}
		copy(data(&c), words(uint32(fd)))
		c.Files[1], c.seq, c.end = f, i, i
		c.redecode()
		calls = append(calls, c)
	}
	return calls
}

// A descriptor is counted by its file, and a received one also after it has moved. A difference in one descriptor does
// not change how later ones are counted.
func TestDiffDescriptors(t *testing.T) {
	a := passing(t, "5<a 5>a=0 5>a=0 5<b 5>b=3 9>c")
	for _, c := range []struct {
		name, b string
		want    []int // the calls that differ
	}{
		{"other values", "8<a 8>a=0 8>a=0 7<b 7>b=3 6>c", nil},
		{"moved", "5<a 50>a=0 50>a=0 5<b 50>b=3 9>c", nil},
		{"moved between two calls", "5<a 5>a=0 50>a=0 5<b 5>b=3 9>c", nil},
		{"another file at the value", "5<a 5>x 5>x 5<b 5>b=3 9>c", []int{2, 3}},
		{"another file with the inode of the received one", "5<a 5>x=0 5>x=0 5<b 5>b=3 9>c", []int{2, 3}},
		{"another file in one call", "5<a 5>x 5>a=0 5<b 5>b=3 9>c", []int{2}},
		{"the same file, opened again", "5<a 6>a 5>a=0 5<b 5>b=3 9>c", []int{2}},
		{"another received one", "5<a 5>a=0 5>a=0 6<b 5>a=0 9>c", []int{5}},
	} {
		for _, byConnection := range []bool{false, true} {
			var got []int
			for _, d := range (Comparison{ByConnection: byConnection}).All(a, passing(t, c.b)) {
				got = append(got, d.Call)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s, by connection %v: calls %v differ, want %v", c.name, byConnection, got, c.want)
			}
		}
	}
}

// A port that sets close-on-exec must set it each time, and only a line with both values allows it not to. A program
// that both runs have need not.
func TestDiffRequireCloseOnExec(t *testing.T) {
	received := func(program string, closeOnExec bool) []Call {
		c := receivedOne(amd64)
		c.Program, c.Files[1].CloseOnExec = program, closeOnExec
		return []Call{c}
	}
	const field = "recvmsg: control message 1, SCM_RIGHTS, close-on-exec on return"
	for _, c := range []struct {
		allow string
		b     []Call
		want  string
	}{
		{"recvmsg: flags", received("/c", false), ""},
		{"recvmsg: flags", received("/go", false), field + ": not set against not set"},
		{"recvmsg: flags: 0 against MSG_WAITALL|MSG_CMSG_CLOEXEC", received("/go", false), field + ": not set against not set"},
		{"recvmsg: flags: MSG_CMSG_CLOEXEC against 0", received("/go", false), ""},
		{"sendmsg: flags", received("/go", false), ""},
		{"recvmsg: padding after msg_flags", received("/go", false), ""},
		{"recvmsg: the result on return: -1 EAGAIN against 1 MSG_CMSG_CLOEXEC", received("/go", false), ""},
		{field, received("/go", false), field + ": not set against not set"},
		{field + ": not set against set", received("/go", false), field + ": not set against not set"},
		{field, received("/go", true), field + ": not set against set"},
	} {
		var o Comparison
		allowance := o.parsed(t, c.allow)
		d := o.First(received("/c", false), c.b)
		if (d == nil) != (c.want == "") || d != nil && (d.Text() != c.want || allowance.Allows(d) != d.B.Files[1].CloseOnExec) {
			t.Errorf("--allow '%s': %v, want %q, allowed only if it is set in B", c.allow, d, c.want)
		}
		const required = "close-on-exec: B does not set close-on-exec, which --allow requires"
		if d != nil && strings.HasSuffix(d.String(), required) != strings.HasSuffix(c.want, "not set against not set") {
			t.Errorf("--allow '%s': %v, want %q if both values are the same", c.allow, d, required)
		}
	}
}

// A difference comes where A entered the call, or left it if it is on return, and a call that only B makes comes after
// the one before it. So a cause comes before its effect in another process.
func TestDiffOrder(t *testing.T) {
	parent, helper := &Process{PID: 10}, &Process{PID: 11, order: 1}
	in := func(p *Process, c Call, seq, end int) Call {
		c.Process, c.seq, c.end = p, seq, end
		return c
	}
	a := []Call{in(parent, receivedOne(amd64), 0, 5), in(helper, receivedOne(amd64), 1, 2), in(helper, sentOne(amd64), 3, 4)}
	for _, c := range []struct {
		name   string
		change func(helper []Call) []Call
		call   int
	}{
		{"a sent byte", func(calls []Call) []Call { calls[1].Entry.Messages[0].Payload[0].Data[0] = 'x'; return calls }, 2},
		{"an extra call", func(calls []Call) []Call { return append(calls, in(helper, sentOne(amd64), 50, 51)) }, 3},
		{"a missing call", func(calls []Call) []Call { return calls[:1] }, 2},
	} {
		b := []Call{clone(a[1]), clone(a[2])}
		received := clone(a[0])
		received.Result = 4
		b = append([]Call{received}, c.change(b)...)
		found := UsedMemory.All(a, b)
		if len(found) != 2 || found[0].Process != 2 || found[0].Call != c.call || found[1].Process != 1 {
			t.Errorf("%s: %v", c.name, found)
		}
	}
}

// Connections are paired in the order of their first messages, whichever process enters its call first. Each counts its
// own processes.
func TestDiffConnections(t *testing.T) {
	on := func(socket string, c Call, seq, end int) Call {
		c.Files[0].Name, c.seq, c.end = "socket:["+socket+"]", seq, end
		return c
	}
	early := []Call{on("1", receivedOne(amd64), 0, 2), on("2", sentOne(amd64), 1, 3)}
	late := []Call{on("4", receivedOne(amd64), 2, 3), on("3", sentOne(amd64), 0, 1)}
	by := func(pid uint32, c Call) Call { // and with its credentials
		copy(c.Exit.Messages[0].Control.Data[16:], words(pid))
		c.Process = &Process{PID: int(pid)}
		c.redecode()
		return c
	}
	forked := []Call{by(10, on("1", receivedOne(amd64), 0, 1)), by(11, on("2", receivedOne(amd64), 2, 3))}
	alone := []Call{by(20, on("1", receivedOne(amd64), 0, 1)), by(20, on("2", receivedOne(amd64), 2, 3))}
	for _, c := range [][2][]Call{{early, late}, {forked, alone}} {
		if d := (Comparison{ByConnection: true}).First(c[0], c[1]); d != nil {
			t.Error(d)
		}
	}
}

// Descriptors that are still open are compared in each process that makes the same calls, even if another process is
// missing.
func TestDiffStillOpen(t *testing.T) {
	receive := func(seq int, p *Process) Call {
		c := receivedOne(amd64)
		c.Process, c.seq, c.end = p, seq, seq
		return c
	}
	leak := func(c Call) *StillOpen {
		return &StillOpen{Process: c.Process, File: devNull, Receipt: Receipt{seq: c.seq, Process: c.Process, Index: 1, Count: 1}}
	}
	one, two := &Process{PID: 10}, &Process{PID: 11, order: 1}
	calls := []Call{receive(0, one), receive(1, two), receive(2, one)}
	all := []*StillOpen{leak(calls[0]), leak(calls[1]), leak(calls[2])}
	for _, c := range []struct {
		name  string
		b     []Call
		open  []*StillOpen
		calls []int // of A, by seq, whose descriptors differ
	}{
		{"the same", calls, all, nil},
		{"none left open", calls, nil, []int{0, 1, 2}},
		{"a process is missing", []Call{calls[0], calls[2]}, nil, []int{0, 2}},
		{"a call is missing", calls[:2], nil, []int{1}},
		{"no calls", nil, nil, nil},
	} {
		for _, swapped := range []bool{false, true} {
			a, b := Trace{calls, all}, Trace{c.b, c.open}
			if swapped {
				a, b = b, a
			}
			var got []int
			found := slices.DeleteFunc(Comparison{}.Compare(a, b), func(d *Difference) bool { return d.When != AtExit })
			for _, d := range found {
				got = append(got, d.A.seq)
			}
			if !slices.Equal(got, c.calls) {
				t.Errorf("%s, swapped %v: %v", c.name, swapped, found)
			}
		}
	}
}

func TestParseControl(t *testing.T) {
	for _, a := range []*Arch{amd64, i386} {
		one := cmsg(a, unix.SOL_SOCKET, unix.SCM_RIGHTS, words(5), 0xaa)
		two := append(one[:len(one):len(one)], cmsg(a, 1, 2, words(1, 2, 3), 0)...)
		short := one[:len(one)-1]
		list, rest := parseControl(a, two)
		if len(list) != 2 || len(rest) != 0 || list[1].Offset != len(one) || list[1].Type != 2 {
			t.Errorf("%s: got %+v and the rest %x, want two messages and no rest", a.Name, list, rest)
		}
		if fds := list[0].FDs; len(fds) != 1 || fds[0] != 5 {
			t.Errorf("%s: got the descriptors %v, want 5", a.Name, fds)
		}
		if list, rest = parseControl(a, short); a.word == 8 && (len(list) != 1 || len(list[0].Padding) != 3) || a.word == 4 && len(rest) != len(short) {
			t.Errorf("%s: a message cut short: got %+v and the rest %x", a.Name, list, rest)
		}
		for _, length := range []uint64{0, 1, uint64(a.cmsghdr().size() - 1), uint64(len(one) + 1), 1<<63 + 16} {
			bad := bytes.Clone(one)
			put(a.cmsghdr(), bad, "cmsg_len", length)
			if a.word == 4 && length > 1<<32 {
				continue
			}
			if list, rest := parseControl(a, bad); len(list) != 0 || !bytes.Equal(rest, bad) {
				t.Errorf("%s: cmsg_len %d: got %+v and the rest %x, want none", a.Name, length, list, rest)
			}
		}
	}
}

// A call that was made again after a signal counts once, at the time of its first attempt.
func TestDiffRestarted(t *testing.T) {
	on := func(thread int, c Call, errno int) Call {
		c.Thread, c.Errno = thread, 0
		if errno != 0 {
			c.Result, c.Errno = -1, syscall.Errno(errno)
		}
		return c
	}
	receive, sending := receivedOne(amd64), sentOne(amd64)
	plain := []Call{on(1, receive, 0), on(2, sending, 0)}
	again := []Call{on(1, receive, 512), on(1, receive, 512), on(2, sending, 0), on(1, receive, 0)}
	d := Comparison{}.First(plain, again)
	if _, n := (Comparison{}).Count(plain, again); d != nil || n != 2 {
		t.Errorf("%v, %d calls", d, n)
	}
	if d := (Comparison{}).First(plain, []Call{on(1, receive, 0), on(1, receive, 0)}); d == nil || !d.Threads {
		t.Errorf("two threads on one side: %v", d)
	}
	if d := (Comparison{}).First([]Call{on(1, receive, 0)}, []Call{on(2, sending, 0)}); d == nil || d.Threads {
		t.Errorf("a thread on each side: %v", d)
	}
	if found := (Comparison{}).All([]Call{on(1, receive, 512)}, []Call{on(1, receive, 514)}); found != nil {
		t.Errorf("interrupted in two ways: %v", found)
	}
	notAgain := []Call{on(1, receive, 512), on(1, sending, 0)}
	if d := (Comparison{}).First(plain, notAgain); d == nil || d.Call != 1 || d.TextB != "-1 interrupted" {
		t.Errorf("not made again: %v", d)
	}
}
