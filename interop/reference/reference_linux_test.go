package reference

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/ownthread"
	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/kernel"
	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/raw"
	"golang.org/x/sys/unix"
)

func TestCallsAreThoseOfTheVocabulary(t *testing.T) {
	named := map[string]bool{}
	for _, u := range kernel.CallUsages {
		name, _, _ := strings.Cut(u.Usage, " ")
		named[name] = true
		if calls[name] == nil {
			t.Errorf("no code makes the call %s", name)
		}
	}
	for name := range calls {
		if !named[name] {
			t.Errorf("CallUsages does not have the call %s", name)
		}
	}
}

// bytesOf returns a control message, built without package raw.
func bytesOf(size uint64, level, kind int32, data []byte) []byte {
	var b []byte
	if unix.SizeofPtr == 8 {
		b = binary.NativeEndian.AppendUint64(b, size)
	} else {
		b = binary.NativeEndian.AppendUint32(b, uint32(size))
	}
	b = binary.NativeEndian.AppendUint32(b, uint32(level))
	b = binary.NativeEndian.AppendUint32(b, uint32(kind))
	b = append(b, data...)
	return append(b, make([]byte, unix.CmsgSpace(len(data))-len(b))...)
}

func integers(list ...uint32) (data []byte) {
	for _, n := range list {
		data = binary.NativeEndian.AppendUint32(data, n)
	}
	return data
}

func TestControlMessages(t *testing.T) {
	right := bytesOf(uint64(unix.CmsgLen(4)), unix.SOL_SOCKET, unix.SCM_RIGHTS, integers(7))
	own := integers(uint32(os.Getpid()), uint32(os.Getuid()), uint32(os.Getgid()))
	for text, want := range map[string][]byte{
		"rights(7)":                right,
		"rights()":                 bytesOf(uint64(unix.CmsgLen(0)), unix.SOL_SOCKET, unix.SCM_RIGHTS, nil),
		"rights(-1,0x10)":          bytesOf(uint64(unix.CmsgLen(8)), unix.SOL_SOCKET, unix.SCM_RIGHTS, integers(0xffffffff, 16)),
		"creds(1,2,3)":             bytesOf(uint64(unix.CmsgLen(12)), unix.SOL_SOCKET, unix.SCM_CREDENTIALS, integers(1, 2, 3)),
		"creds():more=00ff":        bytesOf(uint64(unix.CmsgLen(14)), unix.SOL_SOCKET, unix.SCM_CREDENTIALS, append(own, 0, 0xff)),
		"pidfd(5)":                 bytesOf(uint64(unix.CmsgLen(4)), unix.SOL_SOCKET, unix.SCM_PIDFD, integers(5)),
		"cmsg(99,0x10,-)":          bytesOf(uint64(unix.CmsgLen(0)), 99, 16, nil),
		"cmsg(-1,2,00ff)":          bytesOf(uint64(unix.CmsgLen(2)), -1, 2, []byte{0, 0xff}),
		"rights(7):len=15":         bytesOf(15, unix.SOL_SOCKET, unix.SCM_RIGHTS, integers(7)),
		"rights(7):len=len(2)-1":   bytesOf(uint64(unix.CmsgLen(8)-1), unix.SOL_SOCKET, unix.SCM_RIGHTS, integers(7)),
		"rights(7):level=9":        bytesOf(uint64(unix.CmsgLen(4)), 9, unix.SCM_RIGHTS, integers(7)),
		"rights(7):type=9:level=1": bytesOf(uint64(unix.CmsgLen(4)), 1, 9, integers(7)),
		"rights(7):more=00ff":      bytesOf(uint64(unix.CmsgLen(6)), unix.SOL_SOCKET, unix.SCM_RIGHTS, append(integers(7), 0, 0xff)),
		"hex(00ff)":                {0, 0xff},
		"hex()":                    {},
		"3*rights(7)":              bytes.Repeat(right, 3),
	} {
		c, err := contract.ParseCommand(kernel.Vocabulary, "sendmsg payload=00 control="+text)
		if got := cmsgs(contract.Get(c, "control", []kernel.Cmsg(nil))); !bytes.Equal(got, want) || err != nil {
			t.Errorf("%s: got\n%x, %v\nwant\n%x", text, got, err, want)
		}
	}
}

// A scenario can expect each name and each control message that an answer can have.
func TestNamesAndControlInAnswers(t *testing.T) {
	family := func(n uint16) []byte { return binary.NativeEndian.AppendUint16(nil, n) }
	for _, c := range []struct {
		name []byte
		want string
	}{
		{family(unix.AF_UNIX), "-"},
		{append(family(unix.AF_UNIX), "x\x00"...), "path:x"},
		{append(family(unix.AF_UNIX), "\x00x y"...), "abstract:x?y"},
		{append(family(unix.AF_INET), 1, 2, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0), "inet:258"},
		{append(family(unix.AF_NETLINK), 0, 0, 1, 0, 0, 0, 0, 0, 0, 0), "-"},
	} {
		if got := formatName(c.name); got != c.want {
			t.Errorf("%x: got %s, want %s", c.name, got, c.want)
		}
		expectable(t, "ok name="+c.want)
	}
	for want, control := range map[string][]byte{
		"rights*0":         bytesOf(uint64(unix.CmsgLen(0)), unix.SOL_SOCKET, unix.SCM_RIGHTS, nil),
		"creds(1,-1,2)":    bytesOf(uint64(unix.CmsgLen(12)), unix.SOL_SOCKET, unix.SCM_CREDENTIALS, integers(1, 0xffffffff, 2)),
		"creds:8":          bytesOf(uint64(unix.CmsgLen(8)), unix.SOL_SOCKET, unix.SCM_CREDENTIALS, integers(1, 2)),
		"pidfd(-24)":       bytesOf(uint64(unix.CmsgLen(4)), unix.SOL_SOCKET, unix.SCM_PIDFD, integers(0xffffffe8)),
		"inq(7)":           bytesOf(uint64(unix.CmsgLen(4)), unix.SOL_SOCKET, raw.SOInq, integers(7)),
		"timestamp":        bytesOf(uint64(unix.CmsgLen(16)), unix.SOL_SOCKET, unix.SCM_TIMESTAMP, integers(1, 2, 3, 4)),
		"security":         bytesOf(uint64(unix.CmsgLen(1)), unix.SOL_SOCKET, unix.SCM_SECURITY, []byte{0}),
		"cmsg(270,3,00ff)": bytesOf(uint64(unix.CmsgLen(2)), 270, 3, []byte{0, 0xff}),
		"cmsg(-1,9,-)":     bytesOf(uint64(unix.CmsgLen(0)), -1, 9, nil),
	} {
		if got := (&args{Peer: &peer.Peer{}}).received(&raw.Message{Control: control, ControlLen: len(control)}).text; got != want {
			t.Errorf("%x: got %s, want %s", control, got, want)
		}
		expectable(t, "ok control="+want)
	}
}

// expectable fails the test unless a scenario can expect an answer to recvmsg.
func expectable(t *testing.T, answer string) {
	t.Helper()
	l, err := contract.ParseLine(answer)
	if err == nil {
		err = contract.ValidateAnswer(kernel.Vocabulary, "recvmsg", l)
	}
	if err != nil {
		t.Errorf("no scenario can expect the answer %q: %v", answer, err)
	}
}

// A program has inherited a descriptor only if it refers to the same file.
func TestIsOpen(t *testing.T) {
	p := make([]int, 2)
	fdtest.Must(t, unix.Pipe2(p, unix.O_CLOEXEC))
	defer unix.Close(p[1])
	fd := strconv.Itoa(p[0])
	null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	fdtest.Must(t, err)
	defer unix.Close(null)
	want := func(want string, file []string) {
		t.Helper()
		if got, err := isOpen(fd, file); got != want || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	pipe, err := fileOf(p[0])
	fdtest.Must(t, err)
	other, err := fileOf(null)
	fdtest.Must(t, err)
	want("yes", pipe)
	want("no", other)
	fdtest.Must(t, unix.Close(p[0]))
	want("no", pipe)
}

// The reference answers commands and calls. It rejects a call that lets the kernel read or write
// beyond a buffer.
func TestServe(t *testing.T) {
	two, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	fdtest.Must(t, err)
	defer unix.Close(two[1])
	const long = "err lib controllen= is longer than the control buffer"
	exchange := [][2]string{
		{"hello", "ok name=actor lang=go version=0 can=stream,dgram,seqpacket,multi,iov,flags"},
		{"levitate height=3", "unsupported"},
		{"sendmsg payload=00", "err EBADF"},
		{fmt.Sprintf("use sock=%d fds=-", two[0]), "ok"},
		{"sendmsg payload=00 color=red", "err lib usage: sendmsg payload=P [control=C] [controllen=N] [flags=F] [name=ADDR] [sock=x] [at=K]"},
		{"sendmsg payload=0g", "err lib sendmsg: invalid value for payload="},
		{"recvmsg bytes=1 control=0 controllen=4096 flags=dontwait", long},
		{"recvmsg bytes=1 control=24 controllen=25 flags=dontwait", long},
		{"recvmsg bytes=1 control=24 controllen=0-1 flags=dontwait", long},
		{"sendmsg payload=00 control=creds() controllen=4096", long},
		{"sendmsg payload=00 control=creds() controllen=0x80000000", "err ENOBUFS"},
		{"recvmmsg bytes=1|1 control=24 flags=dontwait", "err lib control= has 1 parts for 2 messages"},
		{"recvmsg bytes=1 control=bad fill=hex(00) flags=dontwait", "err EAGAIN"},
		{"recvmsg bytes=1 control=24 controllen=23 flags=dontwait", "err EAGAIN"},
		{"sendmsg payload=6869", "ok n=2"},
		{"send payload=6a fds=-", "ok n=1"},
		{"end", "ok"},
	}
	var in, out bytes.Buffer
	for _, e := range exchange {
		fmt.Fprintln(&in, e[0])
	}
	fdtest.Must(t, serve("actor", &in, &out))
	for i, got := range strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n") {
		if got = contract.NameErrno(got); got != exchange[i][1] {
			t.Errorf("%s: got %q, want %q", exchange[i][0], got, exchange[i][1])
		}
	}
	b := make([]byte, 8)
	if n, err := unix.Read(two[1], b); err != nil || string(b[:n]) != "hij" {
		t.Errorf("got %q, %v", b[:n], err)
	}
	if n, err := unix.Read(two[1], b); err != nil || n != 0 {
		t.Errorf("the socket is not closed: %d, %v", n, err)
	}
}

// A filter can deny setns(2) to root. That says nothing about namespaces.
func TestDeniedSetns(t *testing.T) {
	fdtest.NeedRoot(t, "enter a namespace")
	namespace, err := unix.Open("/proc/self/ns/uts", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	fdtest.Must(t, err)
	defer unix.Close(namespace)
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	ownthread.Run(func() {
		if err = unix.Capset(&header, &make([]unix.CapUserData, 2)[0]); err == nil {
			_, err = calls["setns"](&args{Peer: &peer.Peer{}, Command: contract.Command{Values: map[string]any{"fd": namespace}}})
		}
	})
	if err != peer.ErrUnsupported {
		t.Errorf("got %v, want %v", err, peer.ErrUnsupported)
	}
}
