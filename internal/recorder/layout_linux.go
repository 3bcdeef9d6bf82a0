package recorder

import "encoding/binary"

// order is that of all processors that are recorded.
var order = binary.LittleEndian

// A Field is a part of a structure.
type Field struct {
	Name   string
	Offset int
	Size   int
	kind   fieldKind
}

type fieldKind int

const (
	plain   fieldKind = iota
	address           // differs from run to run
	padding
	descriptor
	process
)

// A layout is the fields of a structure, in order and without gaps.
type layout []Field

func (l layout) size() int {
	last := l[len(l)-1]
	return last.Offset + last.Size
}

// field returns the bytes of a field in b, which may hold only a part of it.
func (l layout) field(b []byte, name string) []byte {
	for _, f := range l {
		if f.Name == name {
			return b[min(f.Offset, len(b)):min(f.Offset+f.Size, len(b))]
		}
	}
	panic("no field " + name)
}

// uint reads a field of 4 or 8 bytes; what was not recorded is 0.
func (l layout) uint(b []byte, name string) uint64 {
	var word [8]byte
	copy(word[:], l.field(b, name))
	return order.Uint64(word[:])
}

var layouts = map[int]struct{ msghdr, mmsghdr, iovec, cmsghdr, timespec layout }{
	8: {
		msghdr: msghdr64,
		mmsghdr: append(msghdr64[:len(msghdr64):len(msghdr64)],
			Field{"msg_len", 56, 4, plain}, Field{"padding after msg_len", 60, 4, padding}),
		iovec:    layout{{"iov_base", 0, 8, address}, {"iov_len", 8, 8, plain}},
		cmsghdr:  layout{{"cmsg_len", 0, 8, plain}, {"cmsg_level", 8, 4, plain}, {"cmsg_type", 12, 4, plain}},
		timespec: layout{{"tv_sec", 0, 8, plain}, {"tv_nsec", 8, 8, plain}},
	},
	4: {
		msghdr:   msghdr32,
		mmsghdr:  append(msghdr32[:len(msghdr32):len(msghdr32)], Field{"msg_len", 28, 4, plain}),
		iovec:    layout{{"iov_base", 0, 4, address}, {"iov_len", 4, 4, plain}},
		cmsghdr:  layout{{"cmsg_len", 0, 4, plain}, {"cmsg_level", 4, 4, plain}, {"cmsg_type", 8, 4, plain}},
		timespec: layout{{"tv_sec", 0, 4, plain}, {"tv_nsec", 4, 4, plain}},
	},
}

// The kernel's struct user_msghdr. musl declares some of the padding as fields
// of its own, and glibc makes msg_controllen longer than POSIX has it.
var msghdr64 = layout{
	{"msg_name", 0, 8, address},
	{"msg_namelen", 8, 4, plain},
	{"padding after msg_namelen", 12, 4, padding},
	{"msg_iov", 16, 8, address},
	{"msg_iovlen", 24, 8, plain},
	{"msg_control", 32, 8, address},
	{"msg_controllen", 40, 8, plain},
	{"msg_flags", 48, 4, plain},
	{"padding after msg_flags", 52, 4, padding},
}

var msghdr32 = layout{
	{"msg_name", 0, 4, address},
	{"msg_namelen", 4, 4, plain},
	{"msg_iov", 8, 4, address},
	{"msg_iovlen", 12, 4, plain},
	{"msg_control", 16, 4, address},
	{"msg_controllen", 20, 4, plain},
	{"msg_flags", 24, 4, plain},
}

func (a *Arch) msghdr(many bool) layout {
	if many {
		return layouts[a.word].mmsghdr
	}
	return layouts[a.word].msghdr
}

// timespec is the layout of a timeout.
func (a *Arch) timespec(kind argKind) layout {
	if kind == argTimeout64 {
		return layouts[8].timespec
	}
	return layouts[a.word].timespec
}

func (a *Arch) iovec() layout   { return layouts[a.word].iovec }
func (a *Arch) cmsghdr() layout { return layouts[a.word].cmsghdr }

// align rounds up as CMSG_ALIGN does.
func (a *Arch) align(n int) int { return (n + a.word - 1) &^ (a.word - 1) }
