package programs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/scm-rights/scm/internal/procfs"
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

// CheckAddress returns an error if the address is too long for a socket.
func CheckAddress(address string) error {
	most := len(unix.RawSockaddrUnix{}.Path)
	if !strings.HasPrefix(address, "@") {
		most-- // a path ends with a zero byte
	}
	if len(address) > most {
		return fmt.Errorf("%s: the address of a socket has at most %d bytes, and this one has %d: use a shorter path, or a relative one", address, most, len(address))
	}
	return nil
}

// Network returns the name that package net has for a type of socket to which a proxy can connect.
func Network(address string, typ int) (string, error) {
	switch typ {
	case unix.SOCK_STREAM:
		return "unix", nil
	case unix.SOCK_SEQPACKET:
		return "unixpacket", nil
	}
	return "", fmt.Errorf("%s is a datagram socket, and a proxy needs connections: use scm poke", address)
}

// Dial connects a socket to an address: a path, or @NAME for an abstract one. If typ is 0, it finds out the type of the
// server's socket. If the server's backlog stays full for the timeout, it returns EAGAIN. The caller owns the descriptor.
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
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: address})
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

// WaitListening waits until a process listens at the address. It does not connect, because a server may serve only one
// connection. If the list of sockets does not have the address, perhaps because the server is in another network
// namespace, it connects after a second.
func (s *Server) WaitListening(ctx context.Context, address string) error {
	connect := time.Now().Add(time.Second)
	return s.Await(ctx, func() bool {
		if Listening(address) {
			return true
		}
		if time.Now().Before(connect) {
			return false
		}
		fd, _, err := Dial(address, 0, time.Second)
		if err == nil {
			unix.Close(fd)
		}
		return err == nil
	})
}

// Listening reports whether a socket at the address can be connected to.
func Listening(address string) bool { return len(listenerTypes(address)) > 0 }

// SocketType returns the type of the socket on which a server listens. It connects only if the list of sockets does not have
// the address, or has it twice, for sockets in different directories.
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
	for _, l := range listeners() {
		if l.address == address && !slices.Contains(types, l.typ) {
			types = append(types, l.typ)
		}
	}
	return types
}

// A listener is a socket that can be connected to.
type listener struct {
	address string
	typ     int
}

// listeners returns all listeners, by their inodes.
func listeners() map[string]listener {
	text, _ := os.ReadFile("/proc/net/unix") // without it, WaitListening connects
	const listens = 1 << 16                  // __SO_ACCEPTCON of linux/net.h
	all := map[string]listener{}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 8 {
			continue
		}
		flags, _ := strconv.ParseUint(fields[3], 16, 32)
		typ, _ := strconv.ParseUint(fields[4], 16, 32)
		if flags&listens != 0 || typ == unix.SOCK_DGRAM {
			all[fields[6]] = listener{strings.Join(fields[7:], " "), int(typ)}
		}
	}
	return all
}

// Listens returns the addresses at which the server listens, as far as the kernel says so.
func (s *Server) Listens() (addresses []string) {
	all := listeners()
	pids, _ := s.Processes()
	for _, pid := range pids {
		fds, _ := procfs.OpenFDs(pid)
		for _, fd := range fds {
			name, _ := procfs.ReadLink(pid, fd)
			if address := all[strings.Trim(name, "socket:[]")].address; address != "" && !slices.Contains(addresses, address) {
				addresses = append(addresses, address)
			}
		}
	}
	return addresses
}

// Unread returns the number of bytes that were sent through a socket, and that the other process has not received yet. The
// kernel counts the memory of the messages, which is more than their bytes.
func Unread(fd int) (int, error) {
	n, err := unix.IoctlGetUint32(fd, unix.TIOCOUTQ)
	return int(n), err
}

// Accepted reports whether the server has accepted a connection. The kernel says so in the answer of sock_diag(7), in
// which the other end of the connection has an inode only then. If the kernel does not answer, ok is false.
func Accepted(fd int) (accepted, ok bool) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false, false
	}
	peer, err := peerInode(uint32(st.Ino))
	return peer != 0, err == nil
}

// accepts reports whether a process of the server has accepted the connection, or may have. It is false only if the other end
// is open elsewhere.
func (s *Server) accepts(fd int, timeout time.Duration) bool {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return true
	}
	for deadline := time.Now().Add(timeout); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		peer, err := peerInode(uint32(st.Ino))
		pids, lookErr := s.Processes()
		if err != nil || peer == 0 || lookErr != nil || s.Ended() != nil { // it has been closed, or the kernel does not tell
			return true
		}
		for _, pid := range pids {
			fds, err := procfs.OpenFDs(pid)
			if err != nil {
				return true
			}
			for _, n := range fds {
				if name, _ := procfs.ReadLink(pid, n); name == fmt.Sprintf("socket:[%d]", peer) {
					return true
				}
			}
		}
	}
	return false
}

// Constants of linux/unix_diag.h.
const (
	udiagShowPeer = 0x4
	unixDiagPeer  = 2
)

// peerInode returns the inode of the socket to which the one with this inode is connected.
func peerInode(inode uint32) (uint32, error) {
	sock, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return 0, err
	}
	defer unix.Close(sock)
	const header, size = unix.SizeofNlMsghdr, 16 + 24 // struct unix_diag_req has 24 bytes
	order := binary.NativeEndian
	request := make([]byte, size)
	order.PutUint32(request, size)
	order.PutUint16(request[4:], unix.SOCK_DIAG_BY_FAMILY)
	order.PutUint16(request[6:], unix.NLM_F_REQUEST)
	request[header] = unix.AF_UNIX
	order.PutUint32(request[header+4:], ^uint32(0)) // all states
	order.PutUint32(request[header+8:], inode)
	order.PutUint32(request[header+12:], udiagShowPeer)
	order.PutUint64(request[header+16:], ^uint64(0)) // no cookie
	if err := unix.Sendto(sock, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, err
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(sock, answer, 0)
	if err != nil {
		return 0, err
	}
	return parsePeer(answer[:n])
}

// parsePeer returns the inode in the answer of sock_diag(7).
func parsePeer(answer []byte) (uint32, error) {
	order := binary.NativeEndian
	const header, message = unix.SizeofNlMsghdr, 16 // struct unix_diag_msg has 16 bytes
	if len(answer) < header+message || order.Uint16(answer[4:]) != unix.SOCK_DIAG_BY_FAMILY {
		return 0, unix.ENODATA
	}
	for rest := answer[header+message:]; len(rest) >= 4; {
		size := int(order.Uint16(rest))
		if size < 4 || size > len(rest) {
			break
		}
		if order.Uint16(rest[2:]) == unixDiagPeer && size >= 8 {
			return order.Uint32(rest[4:]), nil
		}
		rest = rest[min((size+3)&^3, len(rest)):]
	}
	return 0, unix.ENODATA
}
