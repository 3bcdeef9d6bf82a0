package reference

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/kernel"
	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/raw"
	"golang.org/x/sys/unix"
)

var (
	socketTypes = map[string]int{"stream": unix.SOCK_STREAM, "dgram": unix.SOCK_DGRAM, "seqpacket": unix.SOCK_SEQPACKET}
	families    = kernel.BitsOf("socket family", map[string]int{
		"unix":    unix.AF_UNIX,
		"inet":    unix.AF_INET,
		"netlink": unix.AF_NETLINK,
		"packet":  unix.AF_PACKET,
	})
)

// kind returns the type of a new socket: type=, or the type of the socket of the case.
func (a *args) kind() (int, error) {
	if a.has("type") {
		return socketTypes[a.text("type", "")], nil
	}
	return raw.GetOption(a.Sock(), "type")
}

func newSocket(a *args) (int, error) {
	kind, err := a.kind()
	if err != nil {
		return -1, err
	}
	return unix.Socket(families.Sum(a.text("family", "unix")), kind|unix.SOCK_CLOEXEC, 0)
}

func newPair(a *args) (string, error) {
	kind, err := a.kind()
	if err != nil {
		return "", err
	}
	two, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	a.Hold(two[:]...)
	return "fds=" + peer.FormatList(two[:]), nil
}

// maxPath is the length of sun_path. A path that fills sun_path has no terminating zero byte.
const maxPath = 108

// sockaddr returns the bytes of a sockaddr for name=, or nil if the field is missing. For auto,
// the kernel chooses the name. For inet:PORT, the address is that of the loopback interface.
func (a *args) sockaddr() []byte {
	kind, name, _ := strings.Cut(a.text("name", ""), ":")
	unixName := binary.NativeEndian.AppendUint16(nil, unix.AF_UNIX)
	switch kind {
	case "path":
		if len(name) != maxPath {
			name += "\x00"
		}
		return append(unixName, name...)
	case "abstract":
		return append(unixName, "\x00"+name...)
	case "auto":
		return unixName
	case "inet":
		port, _ := strconv.Atoi(name)
		inet := binary.BigEndian.AppendUint16(binary.NativeEndian.AppendUint16(nil, unix.AF_INET), uint16(port))
		return append(inet, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0)
	}
	return nil
}

// formatName returns the name in the bytes of a sockaddr, or "-" if it has none.
func formatName(name []byte) string {
	switch {
	case len(name) <= 2:
		return "-"
	case binary.NativeEndian.Uint16(name) == unix.AF_INET:
		return fmt.Sprintf("inet:%d", binary.BigEndian.Uint16(name[2:]))
	case binary.NativeEndian.Uint16(name) != unix.AF_UNIX:
		return "-"
	case name[2] == 0:
		return "abstract:" + oneWord(string(name[3:]))
	}
	return "path:" + oneWord(string(bytes.TrimRight(name[2:], "\x00")))
}

// oneWord replaces spaces and characters that are not printable ASCII with question marks.
func oneWord(name string) string { return strings.ReplaceAll(contract.ASCII(name), " ", "?") }

func formatSockaddr(sa unix.Sockaddr, err error) (string, error) {
	name := "-"
	switch sa := sa.(type) {
	case *unix.SockaddrUnix:
		switch {
		case sa.Name == "", sa.Name == "@": // x/sys returns "@" for a socket without a name
		case sa.Name[0] == '@':
			name = "abstract:" + oneWord(sa.Name[1:])
		default:
			name = "path:" + oneWord(sa.Name)
		}
	case *unix.SockaddrInet4:
		name = "inet:" + strconv.Itoa(sa.Port)
	}
	return "name=" + name, err
}

// connect connects to name=, or to the address of the socket fd=.
func connect(a *args) error {
	if !a.has("fd") {
		return raw.Connect(a.sock(), a.sockaddr())
	}
	to, err := unix.Getsockname(a.fd())
	if err != nil {
		return err
	}
	return unix.Connect(a.sock(), to)
}

func accept(a *args) (string, error) {
	fd, sa, err := unix.Accept4(a.sock(), unix.SOCK_CLOEXEC)
	text, err := a.held(fd, err)
	if err != nil {
		return "", err
	}
	name, err := formatSockaddr(sa, nil)
	return text + " " + name, err
}

// setsockopt sets the options in any order.
func setsockopt(a *args) error {
	for name := range a.Values {
		if name == "sock" {
			continue
		}
		if err := raw.SetOption(a.sock(), name, a.integer(name, 0)); err != nil {
			return err
		}
	}
	return nil
}

func peercred(a *args) (string, error) {
	c, err := unix.GetsockoptUcred(a.sock(), unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("creds=creds(%d,%d,%d)", c.Pid, int32(c.Uid), int32(c.Gid)), nil
}

// queued returns the number of bytes in the receive queue and in the send queue of a socket.
func queued(a *args) (string, error) {
	in, err := unix.IoctlGetUint32(a.sock(), unix.SIOCINQ)
	if err != nil {
		return "", err
	}
	out, err := unix.IoctlGetUint32(a.sock(), unix.SIOCOUTQ)
	return fmt.Sprintf("in=%d out=%d", in, out), err
}
