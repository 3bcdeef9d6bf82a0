package fdtest

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/internal/sys"
)

// Left returns a snapshot of the files that were not open when s was taken. It omits a descriptor if
// another one of the same file was closed, because the file may only have got another descriptor. It also omits
// files that the C library keeps open for later.
func (s Snapshot) Left() (Snapshot, error) {
	open, err := procfs.OpenFDs(procfs.Self)
	if err != nil {
		return nil, err
	}
	now := Snapshot{}
	for _, fd := range open {
		if id, err := Identify(fd); err == nil {
			now[fd] = id
		}
	}
	closed := map[ID]int{}
	for fd, id := range s {
		if now[fd] != id && !id.Anonymous() { // an anonymous file cannot be distinguished from others of its kind
			closed[id]++
		}
	}
	left := Snapshot{}
	for _, fd := range open {
		id, ok := now[fd]
		switch {
		case !ok || s[fd] == id:
		case closed[id] > 0:
			closed[id]--
		default:
			left[fd] = id
		}
	}
	maps.DeleteFunc(left, func(fd int, _ ID) bool { return keptByC(Describe(fd)) })
	return left, nil
}

// WithoutSplicePipes returns the snapshot without both ends of each pipe that io.Copy may have kept for later. It
// cannot distinguish such a pipe from another one of the same capacity.
func (s Snapshot) WithoutSplicePipes() Snapshot {
	ends := map[ID]int{}
	for _, id := range s {
		ends[id]++
	}
	others := maps.Clone(s)
	maps.DeleteFunc(others, func(fd int, id ID) bool { return ends[id] == 2 && isSplicePipe(fd) })
	return others
}

// isSplicePipe reports whether fd is a pipe of the capacity that internal/poll sets. io.Copy between
// two sockets goes through such a pipe, and keeps both ends for the next copy.
func isSplicePipe(fd int) bool {
	const maxSpliceSize = 1 << 20 // internal/poll/splice_linux.go
	size, err := unix.FcntlInt(uintptr(fd), unix.F_GETPIPE_SZ, 0)
	return err == nil && size == maxSpliceSize
}

// keptByC reports whether a file is one that libnss_sss keeps open after the first lookup of a user or
// a host, in a program with cgo.
func keptByC(description string) bool {
	return strings.Contains(description, " /var/lib/sss/")
}

// Describe returns the kind of a descriptor's file, its path and the access mode or, for a socket, its
// addresses and the process at the other end.
func Describe(fd int) string {
	f, err := sys.Look(fd)
	if errors.Is(err, unix.EBADF) {
		return "closed"
	}
	name := Name(fd)
	switch {
	case err != nil:
		return name
	case f.Kind == "socket":
		return describeSocket(fd, f)
	case f.Kind == "memfd":
		return "memfd " + strings.TrimSuffix(strings.TrimPrefix(name, "/memfd:"), " (deleted)")
	case f.Kind == "pidfd":
		info, err := procfs.ReadFDInfo(procfs.Self, fd)
		switch {
		case err != nil:
			return "pidfd"
		case info.PID < 0:
			return "pidfd of a process that has ended"
		}
		return fmt.Sprintf("pidfd of process %d", info.PID)
	case f.Kind == "pipe" && strings.HasPrefix(name, "pipe:"):
		return map[string]string{"read-only": "read end of ", "write-only": "write end of "}[f.Access] + name
	case !strings.HasPrefix(name, "/"):
		return f.Kind
	case f.Kind == "regular":
		f.Kind = "regular file"
	}
	return fmt.Sprintf("%s %s (%s)", f.Kind, name, f.Access)
}

func describeSocket(fd int, f sys.File) string {
	text := sys.FamilyName(f.Family) + " " + sys.TypeName(f.Type) + " socket"
	if local, err := unix.Getsockname(fd); err == nil {
		text += addressText(local)
	}
	if listening, err := sys.Listening(fd); err == nil && listening {
		return text + ", listening"
	}
	peer, err := unix.Getpeername(fd)
	if err != nil {
		return text + ", not connected"
	}
	text += ", peer" + addressText(peer)
	if cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil && cred.Pid > 0 {
		text += fmt.Sprintf(" of process %d", cred.Pid)
		if int(cred.Pid) == os.Getpid() {
			text += " (this one)"
		}
	}
	return text
}

// addressText returns a space and an address, or "" for an address of another kind.
func addressText(address unix.Sockaddr) string {
	switch a := address.(type) {
	case *unix.SockaddrUnix:
		if a.Name == "" || a.Name == "@" { // x/sys returns "@" on Linux
			return " without a name"
		}
		return " " + a.Name
	case *unix.SockaddrInet4:
		return " " + netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)).String()
	case *unix.SockaddrInet6:
		return " " + netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port)).String()
	}
	return ""
}
