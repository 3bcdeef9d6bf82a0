package raw

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/scm-rights/scm/interop/contract"
	"golang.org/x/sys/unix"
)

func pair(t *testing.T, kind int) (a, b int) {
	t.Helper()
	two, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.Close(two[0])
		_ = unix.Close(two[1])
	})
	return two[0], two[1]
}

// What is sent in any form is received, and nothing else.
func TestSendAndRecv(t *testing.T) {
	a, b := pair(t, unix.SOCK_DGRAM)
	if n, err := Send(a, [][]byte{[]byte("he"), []byte("llo")}, []int{0, 0, 0}, 0); n != 5 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	buf := make([]byte, 9)
	n, fds, flags, err := Recv(b, [][]byte{buf[:1], buf[1:]}, 2, 0)
	if n != 5 || string(buf[:5]) != "hello" || len(fds) != 2 || flags != unix.MSG_CTRUNC || err != nil {
		t.Errorf("%d, %q, %v, %#x, %v", n, buf, fds, flags, err)
	}
	for _, fd := range fds {
		if v, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || v&unix.FD_CLOEXEC == 0 {
			t.Errorf("%d: %#x, %v", fd, v, err)
		}
		_ = unix.Close(fd)
	}
	if _, _, _, err := Recv(b, [][]byte{buf}, 1, unix.MSG_DONTWAIT); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("got %v", err)
	}
	if _, err := Send(a, [][]byte{{0}}, []int{-1}, 0); !errors.Is(err, unix.EBADF) {
		t.Errorf("got %v", err)
	}
}

func TestMany(t *testing.T) {
	a, b := pair(t, unix.SOCK_SEQPACKET)
	n, err := SendMany(a, []*Message{NewMessage([][]byte{[]byte("one")}, nil), NewMessage([][]byte{[]byte("two")}, Rights(0)), NewMessage([][]byte{[]byte("3")}, Rights(-1))}, 0)
	if n != 2 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	var ms []*Message
	for range 3 {
		ms = append(ms, NewMessage([][]byte{make([]byte, 8)}, make([]byte, unix.CmsgSpace(4))))
	}
	n, lengths, err := RecvMany(b, ms, unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
	if n != 2 || !slices.Equal(lengths, []int{3, 3}) || err != nil || ms[0].ControlLen != 0 {
		t.Fatalf("%d, %v, %v, %+v", n, lengths, err, ms[0])
	}
	list := Parse(ms[1].Control[:ms[1].ControlLen])
	if len(list) != 1 || len(list[0].Rights()) != 1 {
		t.Fatalf("got %+v", list)
	}
	_ = unix.Close(list[0].Rights()[0])
}

// Control messages are read as they were written; what is cut, or makes no sense,
// ends the list.
func TestParse(t *testing.T) {
	creds := Cmsg{Level: unix.SOL_SOCKET, Type: unix.SCM_CREDENTIALS, Data: make([]byte, 12)}
	control := slices.Concat(creds.Bytes(), Rights(3, 4, 5), Cmsg{Level: 9, Type: 8, Data: []byte{1}}.Bytes())
	list := Parse(control)
	if len(list) != 3 || !bytes.Equal(list[0].Data, creds.Data) || !slices.Equal(list[1].Rights(), []int{3, 4, 5}) || list[2].Level != 9 || list[2].Type != 8 || list[2].Rights() != nil {
		t.Errorf("got %+v", list)
	}
	cut := Rights(3, 4)[:unix.CmsgLen(4)]
	if list := Parse(cut); len(list) != 1 || !slices.Equal(list[0].Rights(), []int{3}) || list[0].Len != uint64(unix.CmsgLen(8)) {
		t.Errorf("got %+v", list)
	}
	for _, control := range [][]byte{nil, make([]byte, 15), make([]byte, 64), Cmsg{BadLen: true, Len: 3}.Bytes()} {
		if list := Parse(control); len(list) != 0 {
			t.Errorf("%x: got %+v", control, list)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Rights(1, 2, 3))
	f.Add(Cmsg{BadLen: true, Len: 1 << 60}.Bytes())
	f.Fuzz(func(t *testing.T, control []byte) {
		total := 0
		for _, c := range Parse(slices.Clone(control)) {
			total += unix.SizeofCmsghdr + len(c.Data)
			c.Rights()
		}
		if total > len(control) {
			t.Errorf("%d bytes in %d", total, len(control))
		}
	})
}

func TestEdge(t *testing.T) {
	a, b := pair(t, unix.SOCK_STREAM)
	for _, n := range []int{0, 1, 16, 4096, 5000} {
		mem, err := Edge(n)
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			if got, err := NewMessage([][]byte{mem[:n]}, nil).Send(a, 0); got != n || err != nil {
				t.Errorf("%d: %d, %v", n, got, err)
			}
			if _, err := unix.Read(b, make([]byte, n)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := NewMessage([][]byte{mem[n : n+1]}, nil).Send(a, 0); !errors.Is(err, unix.EFAULT) {
			t.Errorf("behind %d: %v", n, err)
		}
	}
}

func TestOptions(t *testing.T) {
	a, _ := pair(t, unix.SOCK_STREAM)
	for name, value := range map[string]int{"passcred": 1, "oobinline": 1, "peekoff": 5, "timestamp": 1} {
		o, err := FindOption(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := o.Set(a, value); err != nil {
			t.Fatal(err)
		}
		if got, err := o.Get(a); got != value || err != nil {
			t.Errorf("%s: got %d, %v", name, got, err)
		}
	}
	o, err := FindOption("rcvtimeo")
	if err != nil || o.Set(a, 1500) != nil {
		t.Fatal(err)
	}
	if tv, err := unix.GetsockoptTimeval(a, unix.SOL_SOCKET, unix.SO_RCVTIMEO); err != nil || tv.Sec != 1 || tv.Usec < 490_000 || tv.Usec > 510_000 {
		t.Errorf("got %+v, %v", tv, err)
	}
	if _, err := FindOption("humor"); err == nil {
		t.Error("there is no humor")
	}
	if s, err := FindSignal("SIGUSR1"); s != unix.SIGUSR1 || err != nil {
		t.Errorf("got %v, %v", s, err)
	}
	if _, err := FindSignal("SIGNAL"); err == nil {
		t.Error("there is no SIGNAL")
	}
}

// What a scenario may name is what there is.
func TestNames(t *testing.T) {
	if names := slices.Sorted(maps.Keys(options)); !slices.Equal(names, contract.Options) {
		t.Errorf("got %v, want %v", names, contract.Options)
	}
	for _, name := range contract.Signals {
		if _, err := FindSignal(name); err != nil {
			t.Error(err)
		}
	}
	if len(signals) != len(contract.Signals) {
		t.Errorf("%d signals, %d names", len(signals), len(contract.Signals))
	}
}
