//go:build unix

package sys

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// FileIDOf returns the FileID of a file from the results of os.Lstat or os.Stat.
func FileIDOf(info fs.FileInfo, err error) (id FileID) {
	if err == nil {
		stat := info.Sys().(*syscall.Stat_t)
		id = FileID{fmt.Sprint(stat.Dev), fmt.Sprint(stat.Ino)}
	}
	return id
}

// SocketID returns the device and inode of an open socket, which are the same for all its descriptors. For other files,
// and where sockets have no inode, it returns zero.
func SocketID(fd int) (id FileID) {
	var st unix.Stat_t
	if is, _ := IsSocket(fd); is && unix.Fstat(fd, &st) == nil && st.Ino != 0 { // for another file, fstat can wait
		id = FileID{fmt.Sprint(st.Dev), fmt.Sprint(st.Ino)}
	}
	return id
}

// Opened returns only how a descriptor was opened: Access and Flags.
func Opened(fd int) (File, error) {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	switch {
	case err != nil:
		return File{}, os.NewSyscallError("fcntl", err)
	case flags&pathFlag != 0:
		return File{Access: "path"}, nil
	}
	return File{Access: accessOf(flags), Flags: StatusFlags(flags)}, nil
}

// accessOf returns the access mode in the flags of open(2).
func accessOf(flags int) string {
	switch flags & unix.O_ACCMODE {
	case unix.O_RDONLY:
		return "read-only"
	case unix.O_WRONLY:
		return "write-only"
	case unix.O_RDWR:
		return "read-write"
	}
	return "none"
}

// StatusFlags returns those of flags that are status flags, which F_GETFL reports and F_SETFL sets: not the
// access mode or a file creation flag.
func StatusFlags(flags int) int { return flags &^ modeFlags }

// A flagName is the name of a status flag in open(2).
type flagName struct {
	flag int
	name string
}

// FlagNames names status flags, separated by |.
func FlagNames(flags int) string {
	var names []string
	for _, f := range flagNames {
		if flags&f.flag == f.flag {
			names, flags = append(names, f.name), flags&^f.flag
		}
	}
	if flags != 0 {
		names = append(names, fmt.Sprintf("%#x", flags))
	}
	return strings.Join(names, "|")
}

// kindOf returns the kind of file that a st_mode describes.
func kindOf(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return "regular"
	case unix.S_IFDIR:
		return "directory"
	case unix.S_IFLNK:
		return "symlink"
	case unix.S_IFIFO:
		return "pipe"
	case unix.S_IFSOCK:
		return "socket"
	case unix.S_IFCHR:
		return "character device"
	case unix.S_IFBLK:
		return "block device"
	}
	return unknownKind
}

// FamilyName returns a name for an address family.
func FamilyName(family int) string {
	names := map[int]string{unix.AF_UNIX: "Unix", unix.AF_INET: "IPv4", unix.AF_INET6: "IPv6"}
	return cmp.Or(names[family], familyNames[family], fmt.Sprintf("family %d", family))
}

// TypeName returns a name for a socket type.
func TypeName(typ int) string {
	names := map[int]string{
		unix.SOCK_STREAM: "stream", unix.SOCK_DGRAM: "datagram",
		unix.SOCK_SEQPACKET: "seqpacket", unix.SOCK_RAW: "raw",
	}
	return cmp.Or(names[typ], fmt.Sprintf("type %d", typ))
}

// ipprotoMPTCP is Linux's IPPROTO_MPTCP, which other systems do not define.
const ipprotoMPTCP = 262

// ProtocolName returns the name of a protocol of the Internet families, or "" for any other protocol.
func ProtocolName(family, protocol int) string {
	if family != 0 && family != unix.AF_INET && family != unix.AF_INET6 {
		return "" // the number has a different meaning there
	}
	const sctp = 132 // IPPROTO_SCTP, which some systems do not define
	return map[int]string{
		unix.IPPROTO_ICMP: "icmp", unix.IPPROTO_TCP: "tcp", unix.IPPROTO_UDP: "udp",
		unix.IPPROTO_ICMPV6: "icmpv6", sctp: "sctp", ipprotoMPTCP: "mptcp",
	}[protocol]
}
