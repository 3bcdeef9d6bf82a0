package recorder

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
)

func TestText(t *testing.T) {
	failed := sentOne(amd64)
	failed.Result, failed.Errno = -1, unix.EAGAIN
	again := failed
	again.Errno = 512
	cut := sentOne(amd64)
	cut.Unfinished = true
	long := call(amd64, "sendmsg", 0, built{payload: []string{strings.Repeat("a", 100), "b"}}, built{payload: []string{strings.Repeat("a", 100), "b"}}, 101)
	room := receivedOne(amd64)
	room.Errno = unix.EAGAIN
	odd := call(amd64, "sendmsg", 0x80000000, built{control: []byte{1, 2, 3}}, built{control: []byte{1, 2, 3}}, 0)
	bad := sentOne(amd64)
	bad.Files = []File{{FD: 3}}
	hidden := sentOne(amd64)
	hidden.Files[1] = File{FD: 5, Errno: unix.EACCES}
	hiddenThere := receivedOne(amd64)
	hiddenThere.Files[1] = File{FD: 6, AtExit: true, Errno: unix.EACCES}
	halfHidden := receivedOne(amd64)
	halfHidden.Files[1] = File{FD: 6, AtExit: true, Kind: "pipe", Name: "pipe:[4]", Errno: unix.EACCES}
	const received = `recvmsg(3<unix stream socket:[1]>, "hello", name "@peer", SCM_CREDENTIALS {pid=100, uid=1000, gid=1001}, ` +
		`SCM_RIGHTS [6<%s> close-on-exec unknown], MSG_CMSG_CLOEXEC) = 5 MSG_CTRUNC|MSG_CMSG_CLOEXEC`
	other := Call{Process: someProcess, Thread: 1, Arch: amd64, Nr: 9999, Result: 3}
	for _, c := range []struct {
		call Call
		want string
	}{
		{sentOne(amd64), `sendmsg(3<unix stream socket:[1]>, "hello", SCM_RIGHTS [5<character device /dev/null, read-write>], MSG_NOSIGNAL) = 5`},
		{sentOne(i386), `sendmsg(3<unix stream socket:[1]>, "hello", SCM_RIGHTS [5<character device /dev/null, read-write>], MSG_NOSIGNAL) = 5`},
		{receivedOne(arm64), `recvmsg(3<unix stream socket:[1]>, "hello", name "@peer", SCM_CREDENTIALS {pid=100, uid=1000, gid=1001}, ` +
			`SCM_RIGHTS [6<character device /dev/null, read-write> close-on-exec], MSG_CMSG_CLOEXEC) = 5 MSG_CTRUNC|MSG_CMSG_CLOEXEC`},
		{failed, `sendmsg(3<unix stream socket:[1]>, "hello", SCM_RIGHTS [5<character device /dev/null, read-write>], MSG_NOSIGNAL) = -1 EAGAIN`},
		{again, `sendmsg(3<unix stream socket:[1]>, "hello", SCM_RIGHTS [5<character device /dev/null, read-write>], MSG_NOSIGNAL) = -1 interrupted`},
		{cut, `sendmsg(3<unix stream socket:[1]>, "hello", SCM_RIGHTS [5<character device /dev/null, read-write>], MSG_NOSIGNAL) = ? unfinished`},
		{long, `sendmsg(3<unix stream socket:[1]>, "` + strings.Repeat("a", 32) + `"… of 101, 0) = 101`},
		{room, `recvmsg(3<unix stream socket:[1]>, room for 11+64, MSG_CMSG_CLOEXEC) = -1 EAGAIN`},
		{odd, `sendmsg(3<unix stream socket:[1]>, "", control 010203, 0x80000000) = 0`},
		{bad, `sendmsg(3<not open>, "hello", SCM_RIGHTS [5], MSG_NOSIGNAL) = 5`},
		{hidden, `sendmsg(3<unix stream socket:[1]>, "hello", SCM_RIGHTS [5<not looked up: EACCES>], MSG_NOSIGNAL) = 5`},
		{hiddenThere, fmt.Sprintf(received, "not looked up: EACCES")},
		{halfHidden, fmt.Sprintf(received, "pipe:[4]")},
		{other, `syscall 9999(…) = 3`},
	} {
		if got := c.call.Text(); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestRaw(t *testing.T) {
	c := sentOne(amd64)
	put(c.headerLayout(), c.Entry.Messages[0].Header.Data, "padding after msg_flags", 0x7f3a)
	want := native(`  nr 46 (amd64), arguments 0x3 0x7ffe0000 0x4000
  msghdr, 56 bytes at 0x7ffe0000
           msg_name          msg_namelen  padding   msg_iov           msg_iovlen        msg_control
    entry  0000000000000000  00000000     00000000  0010fe7f00000000  0200000000000000  0030fe7f00000000
    exit   0000000000000000  00000000     00000000  0010fe7f00000000  0200000000000000  0030fe7f00000000
           msg_controllen    msg_flags  padding
    entry  1800000000000000  00000000   3a7f0000
    exit   1800000000000000  00000000   00000000
  iovec, 32 bytes at 0x7ffe1000
           iov_base          iov_len           iov_base          iov_len
    entry  0020fe7f00000000  0300000000000000  0021fe7f00000000  0200000000000000
  control, 24 bytes at 0x7ffe3000
           cmsg_len          cmsg_level  cmsg_type  fd 0      padding
    entry  1400000000000000  01000000    01000000   05000000  00000000
  payload 0, 3 bytes at 0x7ffe2000
           bytes
    entry  68656c
  payload 1, 2 bytes at 0x7ffe2100
           bytes
    entry  6c6f
`)
	if got := c.Raw(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Raw shows the content of the control buffer before and after a receive.
func TestRawReceived(t *testing.T) {
	c := receivedOne(i386)
	got := c.Raw()
	want := native(`  control, 48 bytes at 0x7ffe3000
           unused                            +16
    entry  55555555555555555555555555555555  55555555555555555555555555555555
           +32
    entry  55555555555555555555555555555555
           cmsg_len  cmsg_level  cmsg_type  data                      cmsg_len  cmsg_level  cmsg_type
    exit   18000000  01000000    02000000   64000000e8030000e9030000  10000000  01000000    01000000
           fd 0      unused
    exit   06000000  5555555555555555
`)
	if !strings.Contains(got, want) {
		t.Errorf("got\n%s\nwant in it\n%s", got, want)
	}
}

func TestJSON(t *testing.T) {
	c := receivedOne(amd64)
	got, err := c.JSON(false)
	fdtest.Must(t, err)
	family := hex.EncodeToString(order.AppendUint16(nil, unix.AF_UNIX))
	want := native(`{"pid":100,"tid":101,"arch":"amd64","call":"recvmsg","nr":47,` +
		`"socket":{"fd":3,"open":true,"kind":"unix stream","file":"socket:[1]"},"flags":["MSG_CMSG_CLOEXEC"],` +
		`"messages":[{"payload":"68656c6c6f","bytes":5,"recorded":5,"room":11,"name":"` + family + `0070656572","control":[` +
		`{"level":"SOL_SOCKET","type":"SCM_CREDENTIALS","len":28,"data":"64000000e8030000e9030000","padding":"00000000","cred":{"pid":100,"uid":1000,"gid":1001}},` +
		`{"level":"SOL_SOCKET","type":"SCM_RIGHTS","len":20,"data":"06000000","padding":"77777777","files":[` +
		`{"fd":6,"open":true,"kind":"character device","file":"/dev/null","access":"read-write","close_on_exec":true}]}],` +
		`"flags":["MSG_CTRUNC","MSG_CMSG_CLOEXEC"],"received":true}],"result":5}`)
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}

	failed := sentOne(amd64)
	failed.Errno, failed.Result = syscall.EBADF, -1
	for _, raw := range []bool{false, true} {
		text, err := failed.JSON(raw)
		if err != nil {
			t.Fatalf("raw=%v: %v", raw, err)
		}
		var j struct {
			Result int
			Errno  string
			Entry  []struct{ What, Data string }
		}
		if err := json.Unmarshal(text, &j); err != nil || j.Result != -1 || j.Errno != "EBADF" || len(j.Entry) > 0 != raw {
			t.Errorf("raw=%v: got %s, %v; want -1 EBADF, and the bytes only if raw", raw, text, err)
		}
	}
}

func TestFlagNames(t *testing.T) {
	for flags, want := range map[uint32]string{
		0:                                       "0",
		unix.MSG_DONTWAIT:                       "MSG_DONTWAIT",
		unix.MSG_CTRUNC | unix.MSG_CMSG_CLOEXEC: "MSG_CTRUNC|MSG_CMSG_CLOEXEC",
		unix.MSG_PEEK | 1<<31:                   "MSG_PEEK|0x80000000",
	} {
		if got := FlagText(flags); got != want {
			t.Errorf("%#x: %s, want %s", flags, got, want)
		}
	}
}

func TestAncillary(t *testing.T) {
	plain := built{payload: []string{"x"}}
	room := built{payload: []string{"x"}, control: make([]byte, 24)}
	cut := built{payload: []string{"x"}, msgFlags: unix.MSG_CTRUNC}
	nothing := call(amd64, "recvmsg", 0, room, room, 1)
	put(nothing.headerLayout(), nothing.Exit.Messages[0].Header.Data, "msg_controllen", 0)
	nothing.redecode()
	for name, c := range map[string]struct {
		call Call
		want bool
	}{
		"descriptors sent":           {sentOne(amd64), true},
		"descriptors received":       {receivedOne(amd64), true},
		"a plain message sent":       {call(amd64, "sendmsg", 0, plain, plain, 1), false},
		"a plain message received":   {call(amd64, "recvmsg", 0, plain, plain, 1), false},
		"unused control buffer":      {nothing, false},
		"truncated without a buffer": {call(amd64, "recvmsg", 0, plain, cut, 1), true},
	} {
		if got := c.call.Ancillary(); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}
