package recorder

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data.
const (
	offNr   = 0
	offArch = 4
)

// offArg0 is the offset of the lower half of the first argument.
var offArg0 = uint32(16 + lowHalf)

// load loads a word of seccomp_data.
func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

// unless skips the next instructions if the loaded value is not k.
func unless(k uint32, skip int) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jf: uint8(skip)}
}

// answer returns from the filter.
func answer(k uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k}
}

// filter returns the BPF program that stops a thread at the calls to record and at marks (see the package
// comment). The tracer stops a thread at every call of a section.
func filter() []unix.SockFilter {
	trace, allow := answer(unix.SECCOMP_RET_TRACE), answer(unix.SECCOMP_RET_ALLOW)
	prog := []unix.SockFilter{load(offArch)}
	for _, a := range recordable {
		block := []unix.SockFilter{load(offNr)}
		// firstArgument stops a call if its first argument has one of the values.
		firstArgument := func(name string, values ...uint32) {
			nr := a.syscallNumber(name)
			if nr == none {
				return
			}
			block = append(block, unless(uint32(nr), 2*len(values)+2), load(offArg0))
			for _, v := range values {
				block = append(block, unless(v, 1), trace)
			}
			block = append(block, allow)
		}
		firstArgument("getpriority", Mark)
		for _, name := range ancillary {
			if nr := a.syscallNumber(name); nr != none {
				block = append(block, unless(uint32(nr), 1), trace)
			}
		}
		firstArgument("socketcall", 16, 17, 19, 20)
		block = append(block, allow)
		prog = append(prog, unless(a.audit, len(block)))
		prog = append(prog, block...)
	}
	return append(prog, allow)
}

// install installs a filter for this thread.
func install(prog []unix.SockFilter) error {
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW,
		uintptr(unsafe.Pointer(&fprog)))
	if errno != 0 {
		return errno
	}
	return nil
}

// capable reports whether this thread has a capability.
func capable(capability uint) bool {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	err := unix.Capget(&head, &data[0])
	return err == nil && data[0].Effective&(1<<capability) != 0
}
