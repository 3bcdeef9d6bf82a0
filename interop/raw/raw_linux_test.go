package raw

import (
	"errors"
	"slices"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/kernel"
	"golang.org/x/sys/unix"
)

func pair(t *testing.T, kind int) (a, b int) {
	t.Helper()
	two, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	fdtest.Must(t, err)
	t.Cleanup(func() {
		_ = unix.Close(two[0])
		_ = unix.Close(two[1])
	})
	return two[0], two[1]
}

func TestSendAndRecv(t *testing.T) {
	a, b := pair(t, unix.SOCK_DGRAM)
	if n, err := Send(a, [][]byte{[]byte("he"), []byte("llo")}, []int{0, 0, 0}, 0); n != 5 || err != nil {
		t.Fatalf("sent %d bytes, %v; want 5", n, err)
	}
	buf := make([]byte, 9)
	n, fds, flags, err := Recv(b, [][]byte{buf[:1], buf[1:]}, 2, 0)
	if n != 5 || string(buf[:5]) != "hello" || len(fds) != 2 || flags != unix.MSG_CTRUNC || err != nil {
		t.Errorf("received %q, descriptors %v, flags %#x, %v; want hello, 2 descriptors and MSG_CTRUNC",
			buf[:max(n, 0)], fds, flags, err)
	}
	for _, fd := range fds {
		if v, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || v&unix.FD_CLOEXEC == 0 {
			t.Errorf("descriptor %d has the flags %#x, %v; want FD_CLOEXEC", fd, v, err)
		}
		_ = unix.Close(fd)
	}
	if _, _, _, err := Recv(b, [][]byte{buf}, 1, unix.MSG_DONTWAIT); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("receive from an empty socket: got %v, want EAGAIN", err)
	}
	if _, err := Send(a, [][]byte{{0}}, []int{-1}, 0); !errors.Is(err, unix.EBADF) {
		t.Errorf("send descriptor -1: got %v, want EBADF", err)
	}
}

// Parse returns the messages that Bytes wrote, and stops at one that is too short for its header.
func TestParse(t *testing.T) {
	short := uint64(3)
	control := slices.Concat(Rights(3, 4, 5), Cmsg{Level: 9, Type: 8, Data: []byte{1}}.Bytes())
	list := Parse(control)
	if len(list) != 2 || !slices.Equal(list[0].Int32s(), []int{3, 4, 5}) || list[1].Level != 9 || list[1].Type != 8 {
		t.Errorf("got %+v, want descriptors 3, 4, 5 and a message of level 9, type 8", list)
	}
	truncated := Rights(3, 4)[:unix.CmsgLen(4)]
	if list := Parse(truncated); len(list) != 1 || !slices.Equal(list[0].Int32s(), []int{3}) {
		t.Errorf("a truncated message: got %+v, want descriptor 3", list)
	}
	for _, control := range [][]byte{nil, make([]byte, 15), make([]byte, 64), Cmsg{Len: &short}.Bytes()} {
		if list := Parse(control); len(list) != 0 {
			t.Errorf("%x: got %+v", control, list)
		}
	}
}

func TestOptions(t *testing.T) {
	for _, o := range kernel.Options {
		if options[o.Name] == 0 {
			t.Errorf("no constant of %s", o.Name)
		}
	}
	if len(options) != len(kernel.Options) {
		t.Errorf("%d constants of %d options", len(options), len(kernel.Options))
	}
	a, _ := pair(t, unix.SOCK_STREAM)
	for name, want := range map[string]struct{ option, value int }{
		"passcred": {unix.SO_PASSCRED, 1}, "oobinline": {unix.SO_OOBINLINE, 1}, "peekoff": {unix.SO_PEEK_OFF, 5}, "timestamp": {unix.SO_TIMESTAMP, 1},
	} {
		if err := SetOption(a, name, want.value); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := GetOption(a, name)
		kernel, kernelErr := unix.GetsockoptInt(a, unix.SOL_SOCKET, want.option)
		if err := errors.Join(err, kernelErr); err != nil || got != want.value || kernel != got {
			t.Errorf("%s: got %d, and from the kernel %d, %v; want %d", name, got, kernel, err, want.value)
		}
	}
	fdtest.Must(t, SetOption(a, "rcvtimeo", 1500))
	if got, err := GetOption(a, "rcvtimeo"); got < 1490 || got > 1510 || err != nil {
		t.Errorf("rcvtimeo: got %d, %v; want about 1500", got, err)
	}
	if err := SetOption(a, "humor", 1); err == nil {
		t.Error("SetOption accepts an unknown option")
	}
}
