package recorder

import "encoding/binary"

// order is the byte order of the recorded programs.
var order = binary.NativeEndian

// lowHalf is the offset of the lower 4 bytes in an integer of 8 bytes: 0, or 4 on a big-endian architecture.
var lowHalf = 4 * int(order.Uint16([]byte{0, 1})&1)

// A Field is a field of a structure in memory.
type Field struct {
	Name   string
	Offset int
	Size   int
	kind   fieldKind
}

type fieldKind int

const (
	plain   fieldKind = iota
	pointer           // differs from run to run
	padding
	descriptor
)

// A layout lists the fields of a structure in order and without gaps. It lists padding, too.
type layout []Field

func (l layout) size() int {
	last := l[len(l)-1]
	return last.Offset + last.Size
}

// uint returns the value of a field in b, which may contain only part of the structure. It returns 0 if the
// structure has no such field.
func (l layout) uint(b []byte, name string) uint64 {
	for _, f := range l {
		if f.Name == name {
			return integer(f, b)
		}
	}
	return 0
}

// integer returns the value of a field of 4 or 8 bytes. Bytes that were not recorded are 0.
func integer(f Field, b []byte) uint64 {
	var word [8]byte
	copy(word[:f.Size], f.cut(b))
	if f.Size == 4 {
		return uint64(order.Uint32(word[:]))
	}
	return order.Uint64(word[:])
}

var layouts = map[int]struct{ msghdr, mmsghdr, iovec, cmsghdr, timespec layout }{
	8: {
		msghdr: msghdr64,
		mmsghdr: append(msghdr64[:len(msghdr64):len(msghdr64)],
			Field{"msg_len", 56, 4, plain}, Field{"padding after msg_len", 60, 4, padding}),
		iovec:    layout{{"iov_base", 0, 8, pointer}, {"iov_len", 8, 8, plain}},
		cmsghdr:  layout{{"cmsg_len", 0, 8, plain}, {"cmsg_level", 8, 4, plain}, {"cmsg_type", 12, 4, plain}},
		timespec: layout{{"tv_sec", 0, 8, plain}, {"tv_nsec", 8, 8, plain}},
	},
	4: {
		msghdr:   msghdr32,
		mmsghdr:  append(msghdr32[:len(msghdr32):len(msghdr32)], Field{"msg_len", 28, 4, plain}),
		iovec:    layout{{"iov_base", 0, 4, pointer}, {"iov_len", 4, 4, plain}},
		cmsghdr:  layout{{"cmsg_len", 0, 4, plain}, {"cmsg_level", 4, 4, plain}, {"cmsg_type", 8, 4, plain}},
		timespec: layout{{"tv_sec", 0, 4, plain}, {"tv_nsec", 4, 4, plain}},
	},
}

// msghdr64 is the layout of the kernel's struct user_msghdr in 64-bit programs. musl declares
// some of the padding as fields, and glibc declares a longer msg_controllen than POSIX specifies.
var msghdr64 = layout{
	{"msg_name", 0, 8, pointer},
	{"msg_namelen", 8, 4, plain},
	{"padding after msg_namelen", 12, 4, padding},
	{"msg_iov", 16, 8, pointer},
	{"msg_iovlen", 24, 8, plain},
	{"msg_control", 32, 8, pointer},
	{"msg_controllen", 40, 8, plain},
	{"msg_flags", 48, 4, plain},
	{"padding after msg_flags", 52, 4, padding},
}

var msghdr32 = layout{
	{"msg_name", 0, 4, pointer},
	{"msg_namelen", 4, 4, plain},
	{"msg_iov", 8, 4, pointer},
	{"msg_iovlen", 12, 4, plain},
	{"msg_control", 16, 4, pointer},
	{"msg_controllen", 20, 4, plain},
	{"msg_flags", 24, 4, plain},
}

func (a *Arch) msghdr(many bool) layout {
	if many {
		return layouts[a.word].mmsghdr
	}
	return layouts[a.word].msghdr
}

func (a *Arch) iovec() layout   { return layouts[a.word].iovec }
func (a *Arch) cmsghdr() layout { return layouts[a.word].cmsghdr }

// align rounds up as CMSG_ALIGN does.
func (a *Arch) align(n int) int { return (n + a.word - 1) &^ (a.word - 1) }

// cut returns the bytes of the field in b, as far as b contains them.
func (f Field) cut(b []byte) []byte {
	return b[min(f.Offset, len(b)):min(f.Offset+f.Size, len(b))]
}
