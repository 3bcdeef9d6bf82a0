package reference

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/raw"
	"golang.org/x/sys/unix"
)

func TestEveryFormIsACall(t *testing.T) {
	forms, made := slices.Sorted(maps.Keys(contract.Forms())), slices.Sorted(maps.Keys(calls))
	if !slices.Equal(forms, made) {
		t.Errorf("forms are\n%v\ncalls are\n%v", forms, made)
	}
}

// A name that the contract has and no bits are known for would be none.
func TestEveryWordIsKnown(t *testing.T) {
	for key, bits := range map[string]map[string]int{
		"message flags": messageFlags, "open flags": openBits, "fcntl flags": flagBits, "poll events": pollBits, "seal seals": sealBits,
		"socket family": families, "shutdown how": raw.Shutdowns, "fcntl get": fcntlGets,
	} {
		words := slices.Clone(contract.Words[key])
		if key == "message flags" {
			words = append(words, contract.Inherit)
		}
		slices.Sort(words)
		if known := slices.Sorted(maps.Keys(bits)); !slices.Equal(known, words) {
			t.Errorf("%s: got %v, want %v", key, known, words)
		}
	}
	if known, words := slices.Sorted(maps.Values(kinds)), slices.Sorted(slices.Values(contract.Words["stat kind"])); !slices.Equal(known, words) {
		t.Errorf("kinds: got %v, want %v", known, words)
	}
	if known := slices.Sorted(maps.Keys(socketTypes)); !slices.Equal(known, slices.Sorted(slices.Values(contract.SocketTypes))) {
		t.Errorf("types: %v", known)
	}
}

// bytesOf writes a control message by hand.
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

func numbers(list ...uint32) (data []byte) {
	for _, n := range list {
		data = binary.NativeEndian.AppendUint32(data, n)
	}
	return data
}

func TestControlMessages(t *testing.T) {
	right := bytesOf(uint64(unix.CmsgLen(4)), unix.SOL_SOCKET, unix.SCM_RIGHTS, numbers(7))
	for text, want := range map[string][]byte{
		"rights(7)":                right,
		"rights()":                 bytesOf(uint64(unix.CmsgLen(0)), unix.SOL_SOCKET, unix.SCM_RIGHTS, nil),
		"rights(-1,0x10)":          bytesOf(uint64(unix.CmsgLen(8)), unix.SOL_SOCKET, unix.SCM_RIGHTS, numbers(0xffffffff, 16)),
		"creds(1,2,3)":             bytesOf(uint64(unix.CmsgLen(12)), unix.SOL_SOCKET, unix.SCM_CREDENTIALS, numbers(1, 2, 3)),
		"pidfd(5)":                 bytesOf(uint64(unix.CmsgLen(4)), unix.SOL_SOCKET, unix.SCM_PIDFD, numbers(5)),
		"cmsg(99,0x10,-)":          bytesOf(uint64(unix.CmsgLen(0)), 99, 16, nil),
		"cmsg(-1,2,00ff)":          bytesOf(uint64(unix.CmsgLen(2)), -1, 2, []byte{0, 0xff}),
		"rights(7):len=15":         bytesOf(15, unix.SOL_SOCKET, unix.SCM_RIGHTS, numbers(7)),
		"rights(7):len=len(2)-1":   bytesOf(uint64(unix.CmsgLen(8)-1), unix.SOL_SOCKET, unix.SCM_RIGHTS, numbers(7)),
		"rights(7):level=9":        bytesOf(uint64(unix.CmsgLen(4)), 9, unix.SCM_RIGHTS, numbers(7)),
		"rights(7):type=9:level=1": bytesOf(uint64(unix.CmsgLen(4)), 1, 9, numbers(7)),
		"rights(7):more=00ff":      bytesOf(uint64(unix.CmsgLen(6)), unix.SOL_SOCKET, unix.SCM_RIGHTS, append(numbers(7), 0, 0xff)),
		"hex(00ff)":                {0, 0xff},
		"hex()":                    {},
		"3*rights(7)":              bytes.Repeat(right, 3),
	} {
		if got := messages(text); !bytes.Equal(got, want) {
			t.Errorf("%s: got\n%x\nwant\n%x", text, got, want)
		}
	}
}

// What is told of a name and of control messages is what a scenario can expect of them.
func TestFormatted(t *testing.T) {
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
		"creds(1,-1,2)":    bytesOf(uint64(unix.CmsgLen(12)), unix.SOL_SOCKET, unix.SCM_CREDENTIALS, numbers(1, 0xffffffff, 2)),
		"creds:8":          bytesOf(uint64(unix.CmsgLen(8)), unix.SOL_SOCKET, unix.SCM_CREDENTIALS, numbers(1, 2)),
		"pidfd(-24)":       bytesOf(uint64(unix.CmsgLen(4)), unix.SOL_SOCKET, unix.SCM_PIDFD, numbers(0xffffffe8)),
		"inq(7)":           bytesOf(uint64(unix.CmsgLen(4)), unix.SOL_SOCKET, unix.SO_INQ, numbers(7)),
		"timestamp":        bytesOf(uint64(unix.CmsgLen(16)), unix.SOL_SOCKET, unix.SCM_TIMESTAMP, numbers(1, 2, 3, 4)),
		"security":         bytesOf(uint64(unix.CmsgLen(1)), unix.SOL_SOCKET, unix.SCM_SECURITY, []byte{0}),
		"cmsg(270,3,00ff)": bytesOf(uint64(unix.CmsgLen(2)), 270, 3, []byte{0, 0xff}),
		"cmsg(-1,9,-)":     bytesOf(uint64(unix.CmsgLen(0)), -1, 9, nil),
	} {
		if got := new(args).received(&raw.Message{Control: control, ControlLen: len(control)}).text; got != want {
			t.Errorf("%x: got %s, want %s", control, got, want)
		}
		expectable(t, "ok control="+want)
	}
}

// expectable wants an answer to recvmsg to be one that a scenario can expect.
func expectable(t *testing.T, answer string) {
	t.Helper()
	l, err := contract.ParseLine(answer)
	if err == nil {
		err = contract.CheckAnswerValues(contract.Line{Verb: "recvmsg"}, l)
	}
	if err != nil {
		t.Errorf("%s: %v", answer, err)
	}
}

// talk has the lines answered by an actor, and returns the answers.
func talk(t *testing.T, lines ...string) []string {
	t.Helper()
	var out bytes.Buffer
	if err := serve("actor", strings.NewReader(strings.Join(lines, "\n")+"\n"), &out); err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
}

// It is a peer: what it does not know, or is not spelled right, it does not support.
func TestItIsAPeer(t *testing.T) {
	two, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(two[1])
	const unread = " cannot be read by who is told to "
	lines := []string{
		"hello", "levitate height=3", "sendmsg payload=00", fmt.Sprintf("use sock=%d fds=-", two[0]),
		"sendmsg payload=00 color=red", "sendmsg payload=00 payload=00", "sendmsg payload=00 now", "sendmsg payload=0g", "sendmsg payload=00 flags=sideways",
		"sendmsg payload=00 control=left(1)", "recvmsg bytes=x", "recvmsg bytes=1 control=much", "dup", "dup fd=x", "setsockopt humor=1", "shutdown how=now",
		"sendmsg payload=6869", "send payload=6a fds=-", "end",
	}
	want := []string{
		"ok name=actor lang=go version=0 can=stream,dgram,seqpacket,multi,iov,flags", "unsupported", "err EBADF", "ok",
		"unsupported", "unsupported", "unsupported", "err lib payload=0g" + unread + "sendmsg", "err lib flags=sideways" + unread + "sendmsg",
		"err lib control=left(1)" + unread + "sendmsg", "err lib bytes=x" + unread + "recvmsg", "err lib control=much" + unread + "recvmsg", "err lib dup takes fd=x", "err lib fd=x" + unread + "dup",
		"err lib humor=1" + unread + "setsockopt", "err lib how=now" + unread + "shutdown",
		"ok n=2", "ok n=1", "ok",
	}
	for i, got := range talk(t, lines...) {
		if got != want[i] {
			t.Errorf("%s: got %q, want %q", lines[i], got, want[i])
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
