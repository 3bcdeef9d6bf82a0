package programs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/interop/raw"
	"golang.org/x/sys/unix"
)

// SocketTypes contains the types of socket by their names.
var SocketTypes = map[string]int{"stream": unix.SOCK_STREAM, "seqpacket": unix.SOCK_SEQPACKET, "dgram": unix.SOCK_DGRAM}

// typeName returns the name of a type of socket.
func typeName(typ int) string {
	for name, t := range SocketTypes {
		if t == typ {
			return name
		}
	}
	return strconv.Itoa(typ)
}

// CheckAddress returns an error if the address is too long for a socket. It rewrites the zero bytes of an abstract
// name, which may be given as \0, in the form in which the kernel lists them.
func CheckAddress(address *string) error {
	most := len(unix.RawSockaddrUnix{}.Path)
	if strings.HasPrefix(*address, "@") {
		*address = strings.ReplaceAll(*address, `\0`, "@")
	} else {
		most-- // a path ends with a zero byte
	}
	if n := len(*address); n > most {
		const text = "%s: the address of a socket has at most %d bytes, and this one has %d: use a shorter path, or a relative one"
		return fmt.Errorf(text, *address, most, n)
	}
	return nil
}

// Listen creates a listening socket, or a datagram socket, at an address.
func Listen(typ int, address string) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err = raw.Bind(fd, raw.Sockaddr(address)); err == nil && typ != unix.SOCK_DGRAM {
		err = unix.Listen(fd, 128)
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("bind to %s: %w", address, err)
	}
	return fd, nil
}

// Dial connects a socket to an address: a path, or @NAME for an abstract one. If typ is 0, it finds out the type of the
// server's socket. If the server's backlog stays full for the timeout, it returns EAGAIN. The caller owns the
// descriptor.
func Dial(address string, typ int, timeout time.Duration) (fd, found int, err error) {
	types := []int{typ}
	if typ == 0 {
		types = []int{unix.SOCK_STREAM, unix.SOCK_SEQPACKET, unix.SOCK_DGRAM}
	}
	for _, typ := range types {
		fd, err = dial(address, typ, timeout)
		// The kernel looks up an abstract name and a type together.
		if !errors.Is(err, unix.EPROTOTYPE) && !(strings.HasPrefix(address, "@") && errors.Is(err, unix.ECONNREFUSED)) {
			return fd, typ, err
		}
	}
	return -1, 0, err
}

func dial(address string, typ int, timeout time.Duration) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	limit := unix.NsecToTimeval(int64(max(timeout, time.Millisecond)))
	err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit)
	if err == nil {
		err = raw.Connect(fd, raw.Sockaddr(address))
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("connect to %s: %w", address, err)
	}
	return fd, nil
}

// IsAbsent reports whether an error of Dial means that no process listens there.
func IsAbsent(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED)
}

// listens reports whether a process listens at the address. Before the given time it does not connect, because a server
// may serve only one connection. After that it connects, because the list of sockets may lack the address, for example
// if the server is in another network namespace.
func listens(address string, connect time.Time) bool {
	if time.Now().Before(connect) {
		return Listening(address)
	}
	_, err := SocketType(address)
	return err == nil
}

// Listening reports whether a socket at the address can be connected to.
func Listening(address string) bool { return len(listenerTypes(address)) > 0 }

// SocketType returns the type of the socket on which a server listens. It connects only if the list of sockets does not
// have the address, or has it twice, for sockets in different directories.
func SocketType(address string) (int, error) {
	if types := listenerTypes(address); len(types) == 1 {
		return types[0], nil
	}
	fd, typ, err := Dial(address, 0, time.Second)
	if err != nil {
		return 0, err
	}
	unix.Close(fd)
	return typ, nil
}

// listenerTypes returns the types of the sockets at the address that can be connected to.
func listenerTypes(address string) (types []int) {
	if !strings.HasPrefix(address, "@") {
		if _, err := os.Stat(address); err != nil {
			return nil
		}
	}
	for _, s := range sockets("/proc/net/unix") {
		if s.address == address && s.listens && !slices.Contains(types, s.typ) {
			types = append(types, s.typ)
		}
	}
	return types
}

// A socket has an address. Connections that a server accepts have the one at which it listens.
type socket struct {
	inode   string // or "0" for a connection that the server has not accepted yet
	address string
	typ     int
	listens bool // it can be connected to
	tid     int  // of a thread that has it open, if a method of Server has returned it
}

// sockets returns all sockets with an address in a network namespace, from its /proc/net/unix.
func sockets(file string) (list []socket) {
	text, _ := os.ReadFile(file) // without it, listens connects
	const listens = 1 << 16      // __SO_ACCEPTCON of linux/net.h
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) >= 8 {
			flags, _ := strconv.ParseUint(fields[3], 16, 32)
			typ, _ := strconv.ParseUint(fields[4], 16, 32)
			_, address, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " "+fields[6]+" ")
			list = append(list, socket{fields[6], address, int(typ), flags&listens != 0 || typ == unix.SOCK_DGRAM, 0})
		}
	}
	return list
}

// sockets returns the sockets with an address that the server has open, for each descriptor table that has them, as far
// as the kernel reports them.
func (s *Server) sockets() (list []socket) {
	all := map[string]socket{}
	file := "/proc/net/unix"
	if s.supervisor == nil { // it may be in another network namespace
		file = fmt.Sprintf("/proc/%d/net/unix", s.pid)
	}
	for _, k := range sockets(file) {
		all[k.inode] = k
	}
	pids, _ := s.Processes()
	for _, pid := range pids {
		tables, _ := procfs.Tables(pid)
		for _, table := range tables {
			for _, inode := range openSockets(table) {
				if k, ok := all[inode]; ok {
					k.tid = table.TID
					list = append(list, k)
				}
			}
		}
	}
	return list
}

// openSockets returns the inodes of the sockets in descriptor tables.
func openSockets(tables ...procfs.Table) (inodes []string) {
	for _, table := range tables {
		for _, id := range table.Files {
			if id.Type == unix.S_IFSOCK {
				inodes = append(inodes, strconv.FormatUint(id.Ino, 10))
			}
		}
	}
	return inodes
}

// Listens returns the addresses at which the server listens.
func (s *Server) Listens() (addresses []string) {
	for _, k := range s.sockets() {
		if k.listens && !slices.Contains(addresses, k.address) {
			addresses = append(addresses, k.address)
		}
	}
	return addresses
}

// serves reports whether the server has a socket at the address open: one on which it listens, or a connection. It
// may have bound the socket to another path of the same file, or to one in its own directory or root.
func (s *Server) serves(address string) bool {
	file, err := os.Stat(address)
	return slices.ContainsFunc(s.sockets(), func(k socket) bool {
		if k.address == address || err != nil || strings.HasPrefix(k.address, "@") {
			return k.address == address
		}
		from := "cwd"
		if filepath.IsAbs(k.address) {
			from = "root"
		}
		bound, err := os.Stat(fmt.Sprintf("/proc/%d/%s/%s", s.pid, from, k.address))
		return err == nil && os.SameFile(file, bound)
	})
}

// Accepted reports whether a server has accepted all connections at the address. If the list of sockets does not have
// the address, known is false.
func Accepted(address string) (accepted, known bool) {
	accepted = true
	for _, s := range sockets("/proc/net/unix") {
		if s.address == address {
			accepted, known = accepted && s.inode != "0", true
		}
	}
	return accepted && known, known
}

// Unread returns the number of bytes that were sent through a socket, and that the other process has not received yet.
// The kernel counts the memory of the messages, which is more than their bytes.
func Unread(fd int) (int, error) {
	n, err := unix.IoctlGetUint32(fd, unix.TIOCOUTQ)
	return int(n), err
}
