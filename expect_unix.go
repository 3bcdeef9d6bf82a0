//go:build unix

package scm

import (
	"fmt"

	"golang.org/x/sys/unix"
)

func closeNumber(fd int) {
	_ = unix.Close(int(number(fd)))
}

// cut tells whether the flags say that control data is missing.
func cut(flags int) bool {
	return flags&unix.MSG_CTRUNC != 0
}

// accessOf is what the flags of open(2) open a file for.
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

// kindOf is the kind of file that a file's mode tells.
func kindOf(mode uint32) Kind {
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
	return "file of no known kind"
}

func nameFamily(family int) string {
	switch family {
	case unix.AF_UNIX:
		return "Unix"
	case unix.AF_INET:
		return "IPv4"
	case unix.AF_INET6:
		return "IPv6"
	}
	return fmt.Sprintf("family %d", family)
}

func nameType(typ int) string {
	switch typ {
	case unix.SOCK_STREAM:
		return "stream"
	case unix.SOCK_DGRAM:
		return "datagram"
	case unix.SOCK_SEQPACKET:
		return "seqpacket"
	case unix.SOCK_RAW:
		return "raw"
	}
	return fmt.Sprintf("type %d", typ)
}
