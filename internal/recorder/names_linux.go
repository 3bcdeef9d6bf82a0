package recorder

import (
	"cmp"
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

func errnoName(e syscall.Errno) string {
	return cmp.Or(unix.ErrnoName(e), fmt.Sprintf("errno %d", int(e)))
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
		names = append(names, fmt.Sprintf("%#x", flags))
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
	return cmp.Or(levelNames[level], fmt.Sprintf("level %d", level))
}

var levelNames = map[int32]string{
	unix.SOL_SOCKET: "SOL_SOCKET", unix.IPPROTO_IP: "SOL_IP", unix.IPPROTO_IPV6: "SOL_IPV6",
	unix.IPPROTO_TCP: "SOL_TCP", unix.IPPROTO_UDP: "SOL_UDP", unix.SOL_NETLINK: "SOL_NETLINK",
}

// typeName returns the name of a type of SOL_SOCKET, and the value of a type of any other level.
func typeName(level, typ int32) string {
	if name := typeNames[typ]; level == unix.SOL_SOCKET && name != "" {
		return name
	}
	return fmt.Sprintf("type %d", typ)
}

var typeNames = map[int32]string{
	unix.SCM_RIGHTS: "SCM_RIGHTS", unix.SCM_CREDENTIALS: "SCM_CREDENTIALS", scmSecurity: "SCM_SECURITY",
	unix.SCM_PIDFD: "SCM_PIDFD", unix.SO_TIMESTAMP: "SCM_TIMESTAMP",
	unix.SO_TIMESTAMPNS: "SCM_TIMESTAMPNS", unix.SO_TIMESTAMPING: "SCM_TIMESTAMPING",
}
