package recorder

import (
	"errors"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// spool records a child as scm diff does.
func spool(t *testing.T, cmd *exec.Cmd, rest bool) *Spool {
	t.Helper()
	s, err := NewSpool()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	recorded(t, cmd, Options{Handle: s.Add, Rest: rest})
	return s
}

// What is behind the bytes that are recorded is compared by its sum, and without one it is
// not called the same.
func TestDiffBehindLimit(t *testing.T) {
	const first = 3 << 20
	for at, want := range map[int]string{
		1<<20 - 1:          "(byte 1048575 of payload)",
		1 << 20:            "payload behind its first 1048576 bytes: 2097152 more bytes",
		first - 1:          "payload behind its first 1048576 bytes: 2097152 more bytes",
		first + 17<<20:     "payload 17 behind its first 0 bytes: 1048576 more bytes",
		first + 18<<20 - 1: "payload 17 behind its first 0 bytes: 1048576 more bytes",
	} {
		zero, one := spool(t, childCommand("huge"), true), spool(t, childCommand("huge", strconv.Itoa(at)), true)
		d, err := OfSaid.First(zero, one)
		if err != nil || d == nil || !strings.Contains(d.String(), want) {
			t.Errorf("byte %d: %v, %v, want %s", at, d, err, want)
		}
	}
	for _, rest := range []bool{true, false} {
		d, err := OfSaid.First(spool(t, childCommand("huge"), rest), spool(t, childCommand("huge"), rest))
		var missed *Uncompared
		switch {
		case d != nil:
			t.Errorf("the same, sums %v: %v", rest, d)
		case rest && err != nil:
			t.Errorf("the same, with sums: %v", err)
		case !rest && (!errors.As(err, &missed) || missed.Bytes < 4<<20 || missed.Bytes > 4<<20+1000 || !strings.Contains(err.Error(), "of payload of call 1 of process 1 (sendmsg)")):
			t.Errorf("the same, without sums: %v", err)
		}
		if rest {
			if d, err := (Comparison{}).First(spool(t, childCommand("huge"), rest), spool(t, childCommand("huge"), rest)); d != nil || err != nil {
				t.Errorf("the same, all memory: %v, %v", d, err)
			}
		}
	}
}

// needsSecret skips where there is no memory that a tracer cannot read.
func needsSecret(t *testing.T) {
	t.Helper()
	fd, err := memfdSecret()
	if err != nil {
		t.Skip("memfd_secret: " + err.Error())
	}
	_ = unix.Close(fd)
}

// A message of which memory cannot be read is in the record, and is not the same as another.
func TestUnreadable(t *testing.T) {
	needsSecret(t)
	for _, c := range []struct {
		part       string
		sent, rcvd string
		missing    uint64
	}{
		{"nothing", "SCM_RIGHTS [0<", "SCM_RIGHTS [", 0},
		{"control", ", control unreadable (", "SCM_RIGHTS [", uint64(unix.CmsgSpace(4))},
		{"payload", `"… of 8, SCM_RIGHTS [0<`, "SCM_RIGHTS [", 8},
		{"header", "msghdr unreadable", "SCM_RIGHTS [", uint64(len(bytesOf(new(unix.Msghdr))))},
		{"received", "SCM_RIGHTS [0<", ", control unreadable (", uint64(unix.CmsgSpace(4))},
	} {
		ways(t, func(t *testing.T, o Options) {
			o.Ancillary, o.Brief, o.Limit = true, true, TextBytes
			calls, _ := recorded(t, childCommand("secret", c.part, "one"), o)
			if len(calls) != 2 || !strings.Contains(calls[0].Text(), c.sent) || !strings.Contains(calls[1].Text(), c.rcvd) {
				t.Errorf("%s: %v", c.part, calls)
			}
		})
		d, err := OfSaid.First(spool(t, childCommand("secret", c.part, "one"), true), spool(t, childCommand("secret", c.part, "one"), true))
		var missed *Uncompared
		if errors.As(err, &missed); d != nil || c.missing == 0 && err != nil || c.missing > 0 && (missed == nil || missed.Bytes != c.missing) {
			t.Errorf("%s: %v, %v, want %d bytes not compared", c.part, d, err, c.missing)
		}
	}
}
