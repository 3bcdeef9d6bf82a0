package recorder

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// clone copies a call with all that it is made of.
func clone(c Call) Call {
	c.Entry, c.Exit, c.Files, c.index = slices.Clone(c.Entry), slices.Clone(c.Exit), slices.Clone(c.Files), nil
	for _, blobs := range [][]Blob{c.Entry, c.Exit} {
		for i := range blobs {
			blobs[i].Data = bytes.Clone(blobs[i].Data)
		}
	}
	return c
}

// Each byte of a call that is no address and no number is compared, and its
// field named.
func TestDiffEveryByte(t *testing.T) {
	for _, a := range []*Arch{amd64, i386, arm64} {
		for _, c := range []Call{sentOne(a), receivedOne(a)} {
			for _, atExit := range []bool{false, true} {
				if atExit && !c.sig.receives() {
					continue // the kernel changes nothing of it
				}
				everyByte(t, c, atExit)
			}
		}
	}
}

func everyByte(t *testing.T, c Call, atExit bool) {
	t.Helper()
	pick := func(c *Call) []Blob {
		if atExit {
			return c.Exit
		}
		return c.Entry
	}
	for i, b := range pick(&c) {
		fields := c.fields(&b, b.Data)
		if b.What == Control && c.sig.receives() {
			fields = c.fields(&b, nil)
			if atExit {
				fields = c.fields(&b, c.received(0))
			}
		}
		for at := range b.Data {
			other := clone(c)
			pick(&other)[i].Data[at] ^= 0x10
			f := fields[slices.IndexFunc(fields, func(f Field) bool { return at < f.Offset+f.Size })]
			d := Diff([]Call{c}, []Call{other})
			where := fmt.Sprintf("%s %s, at exit %v, %s byte %d (%s)", c.Arch.Name, c.Name(), atExit, c.title(&b), at, f.Name)
			if null := make([]byte, f.Size); f.kind == address && !bytes.Equal(cut(b.Data, f), null) {
				if d != nil {
					t.Errorf("%s: an address is not masked: %v", where, d)
				}
				continue
			}
			if d == nil {
				t.Errorf("%s: not noticed", where)
				continue
			}
			want := f.Name
			switch {
			case f.kind == padding && b.What == Control:
				want = "padding after cmsg_data"
			case f.kind == descriptor:
				want = "SCM_RIGHTS, descriptor 0"
			case b.What == Payload, b.What == Address:
				want = c.title(&b)
			case f.Name == "data", strings.HasPrefix(f.Name, "+"), f.Name == "unused":
				want = ""
			}
			whole := map[bool]string{false: "entry", true: "exit"}[atExit]
			// The length of control data decides what else of it there is.
			if !strings.HasSuffix(d.Field, want) || d.When != whole || d.Where != c.title(&b) {
				t.Errorf("%s: %v", where, d)
			}
			if f.kind != descriptor && d.Offset != at && b.What != Control {
				t.Errorf("%s: told as byte %d", where, d.Offset)
			}
		}
	}
}

func TestDiffFields(t *testing.T) {
	plainFile := func(fd int32, kind string) File { return File{FD: fd, Kind: kind, Name: kind, Access: "read"} }
	for _, c := range []struct {
		name   string
		change func(*Call)
		want   string // in what is told; empty for no difference
	}{
		{"nothing", func(*Call) {}, ""},
		{"addresses", func(c *Call) {
			c.args[1], c.Entry[2].Addr = 0x1234, 0x5678
			put(c.header(), c.Entry[0].Data, "msg_control", 0x5678)
		}, ""},
		{"NULL", func(c *Call) { put(c.header(), c.Entry[0].Data, "msg_control", 0) },
			"at its entry: msg_control: 0030fe7f00000000 against 0000000000000000 (byte 33 of msghdr)"},
		{"padding", func(c *Call) { c.Entry[2].Data[21] = 0x7f },
			"padding after cmsg_data: 00000000 against 007f0000 (byte 21 of control)"},
		{"what is no argument", func(c *Call) { c.Args[5], c.args[5] = 1, 1 }, ""},
		{"the upper half of an int", func(c *Call) { c.args[2] |= 1 << 40 }, ""},
		{"flags", func(c *Call) { c.args[2] = 0 }, "flags: MSG_NOSIGNAL against 0"},
		{"another call", func(c *Call) { *c = receivedOne(amd64) }, "the call: sendmsg against recvmsg"},
		{"another processor", func(c *Call) { *c = sentOne(arm64) }, "the processor: amd64 against arm64"},
		{"a result", func(c *Call) { c.Result = 4 }, "at its exit: the result: 5 against 4"},
		{"an error", func(c *Call) { c.Result, c.Errno = -1, unix.EPIPE }, "the result: 5 against -1 EPIPE"},
		{"unfinished", func(c *Call) { c.Unfinished = true }, "the result: 5 against ? unfinished"},
		{"another number for the same file", func(c *Call) {
			c.args[0], c.Files[0].FD, c.Files[0].Name = 7, 7, "socket:[99]"
			c.Files[1].FD = 9
			copy(c.Entry[2].Data[16:], numbered(9))
			copy(c.Exit[2].Data[16:], numbered(9))
		}, ""},
		{"another kind of file", func(c *Call) { c.Files[1] = plainFile(5, "pipe") },
			"SCM_RIGHTS, descriptor 0: descriptor 2 of the process, character device, read-write against descriptor 2 of the process, pipe, read (byte 16 of control)"},
		{"the socket itself", func(c *Call) {
			copy(c.Entry[2].Data[16:], numbered(3))
		}, "SCM_RIGHTS, descriptor 0: descriptor 2 of the process, character device, read-write against descriptor 1 of the process, unix stream"},
		{"-1", func(c *Call) { copy(c.Entry[2].Data[16:], numbered(0xffffffff)) },
			"SCM_RIGHTS, descriptor 0: descriptor 2 of the process, character device, read-write against -1"},
		{"a number that is not open", func(c *Call) { c.Files[1] = File{FD: 5} }, "against not open"},
		{"one iovec less", func(c *Call) {
			put(c.header(), c.Entry[0].Data, "msg_iovlen", 1)
		}, "msg_iovlen"},
		{"the length of an iovec", func(c *Call) { c.Entry[1].Data[24] = 9 },
			"iovec 1, iov_len: 0200000000000000 against 0900000000000000 (byte 24 of iovec)"},
		{"the payload", func(c *Call) { c.Entry[4].Data[1] = 'p' }, "payload 1: 6c6f against 6c70 (byte 1 of payload 1)"},
	} {
		other := sentOne(amd64)
		c.change(&other)
		d := Diff([]Call{sentOne(amd64)}, []Call{other})
		switch {
		case c.want == "" && d != nil:
			t.Errorf("%s: %v", c.name, d)
		case c.want != "" && (d == nil || !strings.Contains(d.String(), c.want)):
			t.Errorf("%s: %v, want %s", c.name, d, c.want)
		}
	}
}

// A descriptor that could not be looked up is neither the same nor another, and leaves
// open which of the process those after it are.
func TestDiffHidden(t *testing.T) {
	sent := func(change func(calls []Call)) []Call {
		calls := []Call{sentOne(amd64), sentOne(amd64), sentOne(amd64)}
		calls[2].Files[1].Name = "/dev/zero"
		change(calls)
		return calls
	}
	hide := func(calls []Call) {
		for i := range 2 {
			calls[i].Files[1] = File{FD: 5, Errno: unix.EACCES}
		}
	}
	whole := sent(func([]Call) {})
	for _, c := range []struct {
		name   string
		change func(calls []Call)
		want   string
	}{
		{"nothing else", func([]Call) {}, ""},
		{"no look at the access", func(calls []Call) {
			calls[0].Files[1] = File{FD: 5, Kind: "pipe", Name: "pipe:[4]", Errno: unix.EACCES}
		}, ""},
		{"the socket itself", func(calls []Call) { calls[2].Files[1].Name = "socket:[1]" }, ""},
		{"the payload", func(calls []Call) { calls[2].Entry[4].Data[1] = 'p' }, "payload 1"},
		{"another kind", func(calls []Call) { calls[2].Files[1].Kind = "fifo" }, "character device, read-write against fifo, read-write"},
		{"-1", func(calls []Call) { copy(calls[0].Entry[2].Data[16:], numbered(0xffffffff)) }, "descriptor 2 of the process, character device, read-write against -1"},
	} {
		hidden := sent(func(calls []Call) { hide(calls); c.change(calls) })
		done := Comparison{}.compare(newSide(headsOf(whole), inMemory), newSide(headsOf(hidden), inMemory), false)
		d := earliest(done.found)
		if (d != nil) != (c.want != "") || d != nil && !strings.Contains(d.String(), c.want) {
			t.Errorf("%s: %v, want %s", c.name, d, c.want)
		}
		if done.missed.Files != 2 || !strings.Contains(done.missed.Error(), "2 descriptors that could not be looked up, the first of them of call 1 of process 1 (sendmsg): EACCES") {
			t.Errorf("%s: %v", c.name, &done.missed)
		}
	}
}

// What the kernel neither reads nor writes is looked at by Diff alone.
func TestDiffSaid(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Call)
		all    bool // Diff tells it
		said   bool // and DiffSaid does
	}{
		{"the buffer for the payload, before", func(c *Call) { find(c.Entry, Payload, 0, 0).Data[0] = 'x' }, true, false},
		{"the buffer for control data, before", func(c *Call) { find(c.Entry, Control, 0, 0).Data[0] = 'x' }, true, false},
		{"the buffer for the address, before", func(c *Call) { find(c.Entry, Address, 0, 0).Data[0] = 'x' }, true, false},
		{"behind the payload", func(c *Call) { find(c.Exit, Payload, 0, 0).Data[5] = 'x' }, true, false},
		{"behind the control data", func(c *Call) { b := find(c.Exit, Control, 0, 0).Data; b[len(b)-1] = 'x' }, true, false},
		{"padding behind received data", func(c *Call) { find(c.Exit, Control, 0, 0).Data[28] = 'x' }, true, false},
		{"behind the address", func(c *Call) { find(c.Exit, Address, 0, 0).Data[7] = 'x' }, true, false},
		{"the payload", func(c *Call) { find(c.Exit, Payload, 0, 0).Data[4] = 'x' }, true, true},
		{"the user", func(c *Call) { find(c.Exit, Control, 0, 0).Data[20] = 'x' }, true, true},
		{"the address", func(c *Call) { find(c.Exit, Address, 0, 0).Data[6] = 'x' }, true, true},
		{"msg_flags, before", func(c *Call) { find(c.Entry, Header, 0, 0).Data[48] = 'x' }, true, true},
		{"the room", func(c *Call) { put(c.header(), c.Entry[0].Data, "msg_controllen", 99) }, true, true},
		{"close-on-exec", func(c *Call) { c.Files[1].CloseOnExec = false }, true, true},
	} {
		a, b := receivedOne(amd64), receivedOne(amd64)
		c.change(&b)
		if d := Diff([]Call{a}, []Call{b}); (d != nil) != c.all {
			t.Errorf("%s: Diff: %v", c.name, d)
		}
		if d := DiffSaid([]Call{a}, []Call{b}); (d != nil) != c.said {
			t.Errorf("%s: DiffSaid: %v", c.name, d)
		}
	}
}

// All differences are told, what the kernel has left as it was once, up to a call
// that the other side has not made.
func TestAll(t *testing.T) {
	four := func() []Call { return []Call{sentOne(amd64), receivedOne(amd64), sentOne(amd64), sentOne(amd64)} }
	a, b := four(), four()
	for _, blobs := range [][]Blob{b[0].Entry, b[0].Exit} {
		put(b[0].header(), find(blobs, Header, 0, 0).Data, "padding after msg_flags", 1)
		find(blobs, Payload, 0, 1).Data[1] = 'p'
	}
	b[0].args[2], b[0].Result = 0, 4
	put(b[1].header(), find(b[1].Exit, Header, 0, 0).Data, "msg_flags", 0)
	find(b[1].Exit, Control, 0, 0).Data[20]++
	b[2] = receivedOne(amd64)
	b[3].Result = 0
	var got []string
	for _, d := range (Comparison{}).All(a, b) {
		got = append(got, fmt.Sprintf("%d %s %s, %d bytes", d.Call, d.When, d.Field, len(d.BytesA)))
	}
	want := []string{
		"1 entry flags, 8 bytes", "1 entry padding after msg_flags, 4 bytes", "1 entry payload 1, 2 bytes", "1 exit the result, 8 bytes",
		"2 exit msg_flags, 4 bytes", "2 exit control message 0, SCM_CREDENTIALS, uid, 4 bytes", "3  the call, 0 bytes",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestComparison(t *testing.T) {
	carrying := func(pid int, control []byte) Call {
		c := call(amd64, "sendmsg", 0, built{control: control}, built{control: control}, 0)
		c.Process = &Process{PID: pid}
		return c
	}
	message := func(typ int32, values ...uint32) []byte {
		return cmsg(amd64, unix.SOL_SOCKET, typ, numbered(values...), 0)
	}
	credentials := func(pid, of uint32) Call { return carrying(int(pid), message(unix.SCM_CREDENTIALS, of, 0, 0)) }
	number := func(fd uint32, more ...byte) Call {
		c := carrying(100, append(message(unix.SCM_RIGHTS, fd), more...))
		c.Files = append(c.Files, fileAt(int32(fd), false, false))
		return c
	}
	pipe := number(5)
	pipe.Files[1].Kind = "pipe"
	timestamp := func(v uint32) Call { return carrying(100, message(unix.SO_TIMESTAMP, v, 0)) }
	unknown := Call{Process: someProcess, Arch: amd64, Nr: 9999}
	numbers := Comparison{Numbers: true}
	kinds := Comparison{Numbers: true, Describe: func(c *Call, fd int32, atExit bool) string { return c.file(fd, atExit).Kind }}
	for _, c := range []struct {
		name string
		o    Comparison
		a, b Call
		want string // the fields
	}{
		{"another number", Comparison{}, number(5), number(6), ""},
		{"another number counts", numbers, number(5), number(6), "SCM_RIGHTS, descriptor 0"},
		{"what is described the same", kinds, number(5), number(6), ""},
		{"what is described otherwise", kinds, number(5), pipe, "SCM_RIGHTS, descriptor 0"},
		{"its own credentials", numbers, credentials(100, 100), credentials(200, 200), ""},
		{"another's", Comparison{}, credentials(100, 7), credentials(100, 8), ""},
		{"another's, by number", numbers, credentials(100, 7), credentials(100, 8), "SCM_CREDENTIALS, pid"},
		{"its own against number 1", numbers, credentials(100, 100), credentials(100, 1), "SCM_CREDENTIALS, pid"},
		{"credentials that are cut off", Comparison{}, carrying(100, message(unix.SCM_CREDENTIALS, 100, 1)), carrying(200, message(unix.SCM_CREDENTIALS, 200, 2)),
			"SCM_CREDENTIALS, uid"},
		{"the time", Comparison{}, timestamp(1), timestamp(2), "cmsg_data"},
		{"any time", Comparison{AnyTime: true}, timestamp(1), timestamp(2), ""},
		{"of a longer buffer its length", Comparison{}, number(5), number(5, 1, 0, 0, 0), "msg_controllen"},
		{"arguments that are not known", Comparison{}, unknown, unknown, "arguments"},
	} {
		var fields []string
		for _, d := range c.o.All([]Call{c.a}, []Call{c.b}) {
			fields = append(fields, d.Field)
		}
		if got := strings.Join(fields, "; "); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// The process in credentials is known by its place, the users are compared.
func TestDiffPID(t *testing.T) {
	withPID := func(process, pid uint32) Call {
		c := clone(receivedOne(amd64))
		c.Process = &Process{PID: int(process)}
		for _, blobs := range [][]Blob{c.Exit} {
			copy(find(blobs, Control, 0, 0).Data[16:], numbered(pid))
		}
		return c
	}
	if d := Diff([]Call{withPID(100, 100)}, []Call{withPID(200, 200)}); d != nil {
		t.Errorf("its own: %v", d)
	}
	if d := Diff([]Call{withPID(100, 7)}, []Call{withPID(200, 8)}); d != nil {
		t.Errorf("another's: %v", d)
	}
	d := Diff([]Call{withPID(100, 100)}, []Call{withPID(200, 8)})
	if d == nil || d.Field != "control message 0, SCM_CREDENTIALS, pid" || d.TextA != "process 1" || d.TextB != "process 2" {
		t.Errorf("its own against another's: %v", d)
	}
}

// Processes are paired by their place in the tree, those without calls left out.
func TestDiffProcesses(t *testing.T) {
	tree := func() func(seq, pid int, path ...int) Call {
		known := map[string]*Process{}
		return func(seq, pid int, path ...int) Call {
			var p *Process
			for i, birth := range path {
				key := fmt.Sprint(path[:i+1])
				if known[key] == nil {
					known[key] = &Process{parent: p, birth: birth}
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
	if d := Diff(a, b); d != nil {
		t.Error(d)
	}
	b[0].Result = 1
	if d := Diff(a, b); d == nil || d.Process != 3 || d.Call != 1 {
		t.Errorf("in the second child: %v", d)
	}
	if d := Diff(a, b[1:]); d == nil || d.Process != 3 || d.TextA != "sendmsg" || d.TextB != "none" {
		t.Errorf("no second child: %v", d)
	}
	if d := Diff(nil, a); d == nil || d.TextA != "none" {
		t.Errorf("no process: %v", d)
	}
}

func TestParseControl(t *testing.T) {
	for _, a := range []*Arch{amd64, i386} {
		one := cmsg(a, unix.SOL_SOCKET, unix.SCM_RIGHTS, numbered(5), 0xaa)
		two := append(one[:len(one):len(one)], cmsg(a, 1, 2, numbered(1, 2, 3), 0)...)
		short := one[:len(one)-1]
		list, rest := parseControl(a, two)
		if len(list) != 2 || len(rest) != 0 || list[1].Offset != len(one) || list[1].Type != 2 {
			t.Errorf("%s: %+v, %x", a.Name, list, rest)
		}
		if fds := list[0].descriptors(); len(fds) != 1 || fds[0] != 5 {
			t.Errorf("%s: descriptors %v", a.Name, fds)
		}
		if list, rest = parseControl(a, short); a.word == 8 && (len(list) != 1 || len(list[0].Padding) != 3) || a.word == 4 && len(rest) != len(short) {
			t.Errorf("%s: short: %+v, %x", a.Name, list, rest)
		}
		for _, length := range []uint64{0, 1, uint64(a.cmsghdr().size() - 1), uint64(len(one) + 1), 1<<63 + 16} {
			bad := bytes.Clone(one)
			put(a.cmsghdr(), bad, "cmsg_len", length)
			if a.word == 4 && length > 1<<32 {
				continue
			}
			if list, rest := parseControl(a, bad); len(list) != 0 || !bytes.Equal(rest, bad) {
				t.Errorf("%s: cmsg_len %d: %+v, %x", a.Name, length, list, rest)
			}
		}
	}
}

// Whatever the bytes: the parts of control data add up to all of it.
func FuzzParseControl(f *testing.F) {
	f.Add(cmsg(amd64, 1, 1, numbered(1), 0), true)
	f.Add(cmsg(i386, 1, 1, numbered(1, 2), 0), false)
	f.Fuzz(func(t *testing.T, b []byte, wide bool) {
		a := i386
		if wide {
			a = amd64
		}
		list, rest := parseControl(a, b)
		var sum []byte
		for _, m := range list {
			if m.Offset != len(sum) {
				t.Fatalf("a message at %d, want %d", m.Offset, len(sum))
			}
			sum = append(append(append(sum, m.Header...), m.Data...), m.Padding...)
			m.descriptors()
		}
		if !bytes.Equal(append(sum, rest...), b) {
			t.Fatal("the parts are not the whole")
		}
	})
}

// A call that was made again stands where it was made first.
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
	if d := Diff(plain, again); d != nil {
		t.Error(d)
	}
	if d := Diff(plain, []Call{on(1, receive, 0), on(1, receive, 0)}); d == nil || !d.Threads {
		t.Errorf("two threads on one side: %v", d)
	}
	if d := Diff([]Call{on(1, receive, 0)}, []Call{on(2, sending, 0)}); d == nil || d.Threads {
		t.Errorf("a thread on each side: %v", d)
	}
	told := []Call{on(1, receive, 512), on(1, sending, 0)}
	if d := Diff(plain, told); d == nil || d.Call != 1 || d.TextB != "-1 interrupted" {
		t.Errorf("not made again: %v", d)
	}
}

// spooled is a record in a file.
func spooled(t *testing.T, calls []Call) *Spool {
	t.Helper()
	s, err := NewSpool()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	for i := range calls {
		s.Add(&calls[i])
	}
	return s
}

// A call in a file is the same call, whatever is in it.
func TestSpool(t *testing.T) {
	var calls []Call
	for _, a := range archs {
		calls = append(calls, sentOne(a), receivedOne(a))
	}
	more := clone(receivedOne(amd64))
	more.Thread, more.Section, more.Result, more.Errno, more.Unfinished, more.seq = 7, -3, -1, unix.EAGAIN, true, 1<<30
	more.Unread = unix.EFAULT
	more.Exit = nil
	more.Files = []File{{FD: -1, Kind: "regular", Name: "/a b\n", Access: "read", CloseOnExec: true, AtExit: true}}
	none := clone(sentOne(amd64))
	none.sig = nil
	calls = append(calls, more, none)
	s := spooled(t, calls)
	if err := s.out.Flush(); err != nil || s.Len() != len(calls) {
		t.Fatal(s.Len(), err)
	}
	for i, want := range calls {
		got := *s.load(&s.heads[i])
		if (got.Unread == nil) != (want.Unread == nil) || got.Unread != nil && got.Unread.Error() != want.Unread.Error() {
			t.Errorf("call %d: %v, want %v", i, got.Unread, want.Unread)
		}
		got.Unread, want.Unread = nil, nil
		if len(want.Exit) == 0 {
			want.Exit = nil
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("call %d: %#v, want %#v", i, got, want)
		}
	}
	if s.err != nil {
		t.Error(s.err)
	}
}

// Records in files differ as those in memory do.
func TestSpoolFirst(t *testing.T) {
	a, b := []Call{sentOne(amd64), receivedOne(amd64)}, []Call{clone(sentOne(amd64)), clone(receivedOne(amd64))}
	for i := range a {
		a[i].seq, b[i].seq = i, i
		b[i].Process = b[0].Process
		a[i].Process = a[0].Process
	}
	if d, err := (Comparison{}).First(spooled(t, a), spooled(t, b)); d != nil || err != nil {
		t.Errorf("%v, %v", d, err)
	}
	b[1].Exit[0].Data[0] ^= 1
	b[1].Exit[len(b[1].Exit)-1].Data[0] ^= 1
	want := Diff(a, b)
	d, err := (Comparison{}).First(spooled(t, a), spooled(t, b))
	if err != nil || d == nil || want == nil || d.String() != want.String() {
		t.Errorf("%v, %v, want %v", d, err, want)
	}
	if d, err = (Comparison{}).First(spooled(t, a), spooled(t, b[:1])); err != nil || d == nil || d.TextB != "none" {
		t.Errorf("%v, %v", d, err)
	}
}

// A record that could not be kept is none that is the same.
func TestSpoolFull(t *testing.T) {
	s := spooled(t, nil)
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	defer func() { _ = full.Close() }()
	s.out.Reset(full)
	c := sentOne(amd64)
	s.Add(&c)
	if d, err := (Comparison{}).First(s, spooled(t, nil)); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("%v, %v", d, err)
	}
}

// A received descriptor is a new one, whatever number the kernel gives it.
func TestDiffReusedNumbers(t *testing.T) {
	receive := func(fd uint32) Call {
		control := cmsg(amd64, unix.SOL_SOCKET, unix.SCM_RIGHTS, numbered(fd), 0)
		c := call(amd64, "recvmsg", 0, built{control: make([]byte, len(control))}, built{control: control}, 0)
		c.Files = append(c.Files, fileAt(int32(fd), true, true))
		return c
	}
	send := func(fd uint32, kind string) Call {
		control := cmsg(amd64, unix.SOL_SOCKET, unix.SCM_RIGHTS, numbered(fd), 0)
		c := call(amd64, "sendmsg", 0, built{control: control}, built{control: control}, 0)
		c.Files = append(c.Files, fileAt(int32(fd), false, false))
		c.Files[1].Kind = kind
		return c
	}
	char := devNull.Kind
	for _, c := range []struct {
		name string
		a, b []Call
		want string
	}{
		{"a number again", []Call{receive(6), receive(6)}, []Call{receive(6), receive(7)}, ""},
		{"and the second is sent", []Call{receive(6), receive(6), send(6, char)}, []Call{receive(6), receive(7), send(7, char)}, ""},
		{"and the first is sent", []Call{receive(6), receive(6), send(6, char)}, []Call{receive(6), receive(7), send(6, char)},
			"descriptor 3 of the process, character device, read-write against descriptor 2 of the process"},
		{"the other of two", []Call{receive(6), receive(7), send(6, char)}, []Call{receive(6), receive(7), send(7, char)},
			"descriptor 2 of the process, character device, read-write against descriptor 3 of the process"},
		{"one of its own in place of the received", []Call{receive(6), send(6, char)}, []Call{receive(6), send(7, char)},
			"descriptor 2 of the process, character device, read-write against descriptor 3 of the process"},
		{"another kind", []Call{receive(6), send(6, char)}, []Call{receive(7), send(7, "pipe")}, "character device, read-write against"},
	} {
		d := Diff(c.a, c.b)
		if (d == nil) != (c.want == "") || d != nil && !strings.Contains(d.String(), c.want) {
			t.Errorf("%s: %v, want %s", c.name, d, c.want)
		}
	}
}

// The timeout of recvmmsg is an argument: what the kernel leaves of it is not compared.
func TestDiffTimeout(t *testing.T) {
	for _, c := range []struct {
		a    *Arch
		name string
		size int
	}{
		{amd64, "recvmmsg", 16},
		{arm64, "recvmmsg", 16},
		{i386, "recvmmsg", 8},
		{i386, "recvmmsg_time64", 16},
	} {
		with := func(sec, left byte) Call {
			m := Call{Process: someProcess, Arch: c.a, Nr: uint64(c.a.number(c.name)), args: [6]uint64{3, 0, 0, 0, atName}}
			m.sig = c.a.calls()[m.Nr]
			m.Entry = []Blob{{What: Buffer, Arg: 4, Addr: atName, Size: uint64(c.size), Data: make([]byte, c.size)}}
			m.Exit = clone(m).Entry
			m.Entry[0].Data[0], m.Exit[0].Data[0] = sec, left
			return m
		}
		for _, o := range []Comparison{{}, OfSaid} {
			if d := o.first([]Call{with(2, 1)}, []Call{with(2, 0)}); d != nil {
				t.Errorf("%s, %s: %v", c.a.Name, c.name, d)
			}
			d := o.first([]Call{with(2, 1)}, []Call{with(3, 1)})
			if d == nil || d.When != "entry" || d.Field != "timeout, tv_sec" || len(d.BytesA) != c.size/2 {
				t.Errorf("%s, %s: another timeout: %v", c.a.Name, c.name, d)
			}
		}
		if raw := with(2, 1); !strings.Contains(raw.Raw(), fmt.Sprintf("timeout, %d bytes", c.size)) || !strings.Contains(raw.Raw(), "tv_nsec") {
			t.Errorf("%s, %s: %s", c.a.Name, c.name, raw.Raw())
		}
	}
}
