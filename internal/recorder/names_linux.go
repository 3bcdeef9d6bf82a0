package recorder

import (
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

func errnoName(e syscall.Errno) string {
	if name := unix.ErrnoName(e); name != "" {
		return name
	}
	return "errno " + strconv.Itoa(int(e))
}

// messageFlags are the MSG_ flags of linux/socket.h, which are the same on all architectures.
var messageFlags = []struct {
	bit  uint32
	name string
}{
	{0x1, "MSG_OOB"},
	{0x2, "MSG_PEEK"},
	{0x4, "MSG_DONTROUTE"},
	{0x8, "MSG_CTRUNC"},
	{0x10, "MSG_PROXY"},
	{0x20, "MSG_TRUNC"},
	{0x40, "MSG_DONTWAIT"},
	{0x80, "MSG_EOR"},
	{0x100, "MSG_WAITALL"},
	{0x200, "MSG_FIN"},
	{0x400, "MSG_SYN"},
	{0x800, "MSG_CONFIRM"},
	{0x1000, "MSG_RST"},
	{0x2000, "MSG_ERRQUEUE"},
	{0x4000, "MSG_NOSIGNAL"},
	{0x8000, "MSG_MORE"},
	{0x10000, "MSG_WAITFORONE"},
	{0x40000, "MSG_BATCH"},
	{0x2000000, "MSG_SOCK_DEVMEM"},
	{0x4000000, "MSG_ZEROCOPY"},
	{0x20000000, "MSG_FASTOPEN"},
	{0x40000000, "MSG_CMSG_CLOEXEC"},
}

// flagNames returns the names of the flags. It combines all bits without a name into one
// hexadecimal value.
func flagNames(flags uint32) []string {
	names := []string{}
	for _, f := range messageFlags {
		if flags&f.bit != 0 {
			names = append(names, f.name)
			flags &^= f.bit
		}
	}
	if flags != 0 {
		names = append(names, "0x"+strconv.FormatUint(uint64(flags), 16))
	}
	return names
}

// FlagText returns the names of MSG_ flags, joined by "|".
func FlagText(flags uint32) string {
	if flags == 0 {
		return "0"
	}
	return strings.Join(flagNames(flags), "|")
}

func levelName(level int32) string {
	switch level {
	case unix.SOL_SOCKET:
		return "SOL_SOCKET"
	case unix.IPPROTO_IP:
		return "SOL_IP"
	case unix.IPPROTO_IPV6:
		return "SOL_IPV6"
	case unix.IPPROTO_TCP:
		return "SOL_TCP"
	case unix.IPPROTO_UDP:
		return "SOL_UDP"
	case unix.SOL_NETLINK:
		return "SOL_NETLINK"
	}
	return "level " + strconv.Itoa(int(level))
}

// typeName returns the name of a type of SOL_SOCKET, and the value of a type of any other level.
func typeName(level, typ int32) string {
	if level == unix.SOL_SOCKET {
		switch typ {
		case unix.SCM_RIGHTS:
			return "SCM_RIGHTS"
		case unix.SCM_CREDENTIALS:
			return "SCM_CREDENTIALS"
		case scmSecurity:
			return "SCM_SECURITY"
		case unix.SCM_PIDFD:
			return "SCM_PIDFD"
		case unix.SO_TIMESTAMP:
			return "SCM_TIMESTAMP"
		case unix.SO_TIMESTAMPNS:
			return "SCM_TIMESTAMPNS"
		case unix.SO_TIMESTAMPING:
			return "SCM_TIMESTAMPING"
		}
	}
	return "type " + strconv.Itoa(int(typ))
}
