package reference

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/raw"
	"golang.org/x/sys/unix"
)

var (
	socketTypes = map[string]int{"stream": unix.SOCK_STREAM, "dgram": unix.SOCK_DGRAM, "seqpacket": unix.SOCK_SEQPACKET}
	families    = map[string]int{"unix": unix.AF_UNIX, "inet": unix.AF_INET, "netlink": unix.AF_NETLINK, "packet": unix.AF_PACKET}
)

// kind is the type of a new socket: that of the case's, if none is told.
func (a *args) kind() int {
	if a.has("type") {
		return socketTypes[a.fields["type"]]
	}
	kind, err := unix.GetsockoptInt(a.Sock(), unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil && a.err == nil {
		a.err = err
	}
	return kind
}

func newSocket(a *args) (string, error) {
	family, kind := families[a.text("family", "unix")], a.kind()
	if a.err != nil {
		return "", nil
	}
	return a.held(unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0))
}

func newPair(a *args) (string, error) {
	kind := a.kind()
	if a.err != nil {
		return "", nil
	}
	two, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	a.Hold(two[:]...)
	return "fds=" + peer.FormatNumbers(two[:]), nil
}

// address reads the name of a socket: path:NAME, abstract:NAME, auto for one that the
// kernel chooses, inet:PORT on the loopback interface.
func address(text string) (unix.Sockaddr, error) {
	kind, name, _ := strings.Cut(text, ":")
	switch kind {
	case "path":
		return &unix.SockaddrUnix{Name: name}, checkPath(name)
	case "abstract":
		return &unix.SockaddrUnix{Name: "@" + name}, nil
	case "inet":
		port, err := strconv.ParseUint(name, 10, 16)
		return &unix.SockaddrInet4{Port: int(port), Addr: loopback.As4()}, err
	}
	return &unix.SockaddrUnix{}, nil // auto
}

// checkPath wants a path to be below the folder of the case. The kernel takes it only as
// it is: links that a peer makes at the same moment are not seen.
func checkPath(path string) error {
	p, err := find(unix.AT_FDCWD, path)
	p.close()
	if err == unix.EXDEV {
		return err
	}
	return nil // the call has the same error
}

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// sockaddr is the name as sendmsg(2) takes it.
func sockaddr(text string) ([]byte, error) {
	kind, name, _ := strings.Cut(text, ":")
	family := []byte{unix.AF_UNIX, 0}
	if littleEndian := raw.Numbers(1)[0] == 1; !littleEndian {
		family = []byte{0, unix.AF_UNIX}
	}
	if kind == "path" {
		return append(family, name+"\x00"...), checkPath(name)
	}
	return append(family, "\x00"+name...), nil // abstract
}

// name is the receiver of a message, "" and no name= for whom the socket is
// connected to.
func (a *args) name(m *raw.Message) {
	text, ok := a.fields["name"]
	if !ok {
		return
	}
	var err error
	if m.Name, err = sockaddr(text); err != nil {
		a.bad("name")
	}
	m.NameLen = len(m.Name)
}

// formatName writes a name as recvmsg(2) has it; "-" is none.
func formatName(name []byte) string {
	switch {
	case len(name) <= 2:
		return "-"
	case binary.NativeEndian.Uint16(name) == unix.AF_INET:
		return fmt.Sprintf("inet:%d", binary.BigEndian.Uint16(name[2:]))
	case binary.NativeEndian.Uint16(name) != unix.AF_UNIX:
		return "-"
	case name[2] == 0:
		return "abstract:" + printable(name[3:])
	}
	return "path:" + printable(bytes.TrimRight(name[2:], "\x00"))
}

// printable is a name as one word.
func printable(name []byte) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '?'
		}
		return r
	}, string(name))
}

func formatSockaddr(sa unix.Sockaddr) string {
	switch sa := sa.(type) {
	case *unix.SockaddrUnix:
		switch {
		case sa.Name == "", sa.Name == "@": // x/sys has the second for a socket without a name
			return "-"
		case sa.Name[0] == '@':
			return "abstract:" + printable([]byte(sa.Name[1:]))
		}
		return "path:" + printable([]byte(sa.Name))
	case *unix.SockaddrInet4:
		return "inet:" + strconv.Itoa(sa.Port)
	}
	return "-"
}

func bind(a *args) (string, error) {
	sa, err := address(a.text("name", ""))
	if err != nil {
		a.bad("name")
		return "", nil
	}
	if u, ok := sa.(*unix.SockaddrUnix); ok && len(u.Name) == maxPath {
		// x/sys wants room for the byte 0 behind a path, the kernel does not.
		name, err := sockaddr(a.text("name", ""))
		if err != nil {
			return "", err
		}
		return "", raw.Bind(a.sock(), name[:2+maxPath])
	}
	return "", unix.Bind(a.sock(), sa)
}

// maxPath is the length of sun_path.
const maxPath = 108

func listen(a *args) (string, error) {
	return "", unix.Listen(a.sock(), a.number("backlog", 8))
}

// connect goes to a name, or to where the socket fd= is bound.
func connect(a *args) (string, error) {
	if a.has("fd") {
		to, err := unix.Getsockname(a.fd())
		if err != nil {
			return "", err
		}
		return "", unix.Connect(a.sock(), to)
	}
	sa, err := address(a.text("name", ""))
	if err != nil {
		a.bad("name")
		return "", nil
	}
	return "", unix.Connect(a.sock(), sa)
}

func accept(a *args) (string, error) {
	fd, sa, err := unix.Accept4(a.sock(), unix.SOCK_CLOEXEC)
	text, err := a.held(fd, err)
	if err != nil {
		return "", err
	}
	return text + " name=" + formatSockaddr(sa), nil
}

func sockname(a *args) (string, error) {
	sa, err := unix.Getsockname(a.sock())
	return "name=" + formatSockaddr(sa), err
}

func peername(a *args) (string, error) {
	sa, err := unix.Getpeername(a.sock())
	return "name=" + formatSockaddr(sa), err
}

func shutdown(a *args) (string, error) {
	return "", unix.Shutdown(a.sock(), raw.Shutdowns[a.fields["how"]])
}

// setsockopt takes any number of options, in no order.
func setsockopt(a *args) (string, error) {
	sock := a.sock()
	for name := range a.fields {
		if name == "sock" {
			continue
		}
		o, err := raw.FindOption(name)
		if err != nil {
			return "", err
		}
		if err := o.Set(sock, a.number(name, 0)); err != nil {
			return "", err
		}
	}
	return "", nil
}

func getsockopt(a *args) (string, error) {
	o, err := raw.FindOption(a.fields["option"])
	if err != nil {
		return "", err
	}
	value, err := o.Get(a.sock())
	return fmt.Sprintf("value=%d", value), err
}

func peercred(a *args) (string, error) {
	c, err := unix.GetsockoptUcred(a.sock(), unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("creds=creds(%d,%d,%d)", c.Pid, int32(c.Uid), int32(c.Gid)), nil
}

func peerpidfd(a *args) (string, error) {
	return a.held(unix.GetsockoptInt(a.sock(), unix.SOL_SOCKET, unix.SO_PEERPIDFD))
}

// queued tells how many bytes wait at a socket, to be received and to be taken by
// the other side.
func queued(a *args) (string, error) {
	in, err := unix.IoctlGetInt(a.sock(), unix.SIOCINQ)
	if err != nil {
		return "", err
	}
	out, err := unix.IoctlGetInt(a.sock(), unix.SIOCOUTQ)
	return fmt.Sprintf("in=%d out=%d", in, out), err
}
