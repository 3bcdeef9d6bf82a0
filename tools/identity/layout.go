//go:build linux

package main

// The structures of sendmsg and its kin, as the kernel has them. The recorder
// has them too, for its first difference; here all differences are wanted, and
// descriptors by number.

type field struct {
	name         string
	offset, size int
	address      bool // differs from run to run
}

type layout struct {
	msghdr, mmsghdr, iovec, cmsghdr []field
	word                            int
}

var layout64 = layout{
	msghdr: msghdr64,
	mmsghdr: append(msghdr64[:len(msghdr64):len(msghdr64)],
		field{"msg_len", 56, 4, false}, field{"padding after msg_len", 60, 4, false}),
	iovec:   []field{{"iov_base", 0, 8, true}, {"iov_len", 8, 8, false}},
	cmsghdr: []field{{"cmsg_len", 0, 8, false}, {"cmsg_level", 8, 4, false}, {"cmsg_type", 12, 4, false}},
	word:    8,
}

var layout32 = layout{
	msghdr:  msghdr32,
	mmsghdr: append(msghdr32[:len(msghdr32):len(msghdr32)], field{"msg_len", 28, 4, false}),
	iovec:   []field{{"iov_base", 0, 4, true}, {"iov_len", 4, 4, false}},
	cmsghdr: []field{{"cmsg_len", 0, 4, false}, {"cmsg_level", 4, 4, false}, {"cmsg_type", 8, 4, false}},
	word:    4,
}

var msghdr64 = []field{
	{"msg_name", 0, 8, true},
	{"msg_namelen", 8, 4, false},
	{"padding after msg_namelen", 12, 4, false},
	{"msg_iov", 16, 8, true},
	{"msg_iovlen", 24, 8, false},
	{"msg_control", 32, 8, true},
	{"msg_controllen", 40, 8, false},
	{"msg_flags", 48, 4, false},
	{"padding after msg_flags", 52, 4, false},
}

var msghdr32 = []field{
	{"msg_name", 0, 4, true},
	{"msg_namelen", 4, 4, false},
	{"msg_iov", 8, 4, true},
	{"msg_iovlen", 12, 4, false},
	{"msg_control", 16, 4, true},
	{"msg_controllen", 20, 4, false},
	{"msg_flags", 24, 4, false},
}

// layoutOf is that of an architecture of the recorder's.
func layoutOf(arch string) *layout {
	if arch == "386" {
		return &layout32
	}
	return &layout64
}

// size is that of a structure.
func size(fields []field) int {
	last := fields[len(fields)-1]
	return last.offset + last.size
}

// align rounds up as CMSG_ALIGN does.
func (l *layout) align(n int) int { return (n + l.word - 1) &^ (l.word - 1) }

// calls are those of which the arguments are known: d stands for a descriptor, n
// for a number of 32 bits, f for flags, w for a number as wide as the register, and
// p for an address.
var calls = map[string]string{
	"sendmsg":         "dpf",
	"recvmsg":         "dpf",
	"sendmmsg":        "dpnf",
	"recvmmsg":        "dpnfp",
	"recvmmsg_time64": "dpnfp",
	"close":           "d",
	"fcntl":           "dnw",
	"fcntl64":         "dnw",
	"getsockopt":      "dnnpp",
	"setsockopt":      "dnnpn",
	"getsockname":     "dpp",
	"getpeername":     "dpp",
	"shutdown":        "dn",
	"epoll_ctl":       "dndp",
	"fstat":           "dp",
	"dup":             "d",
	"dup3":            "ddn",
	"getpid":          "",
	"socketcall":      "np",
	"rt_sigreturn":    "",
	"sigreturn":       "",
}

// carriesMessages tells sendmsg and its kin.
func carriesMessages(name string) bool {
	switch name {
	case "sendmsg", "recvmsg", "sendmmsg", "recvmmsg", "recvmmsg_time64":
		return true
	}
	return false
}
