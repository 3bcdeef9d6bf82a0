package recorder

import "golang.org/x/sys/unix"

// Offsets in struct seccomp_data.
const (
	offNr   = 0
	offArch = 4
	offArg0 = 16 // its lower half: all that are recorded are little-endian
)

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

// unless skips so many instructions if what was loaded is not k.
func unless(k uint32, skip int) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jf: uint8(skip)}
}

// hasBit skips the next instruction if what was loaded has none of k.
func hasBit(k uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: k, Jf: 1}
}

func answer(k uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k}
}

// filter is the program that stops a thread at the calls to record, and with
// sections at marks alone: inside a section each call stops it anyway.
func filter(sections bool) []unix.SockFilter {
	trace, allow := answer(unix.SECCOMP_RET_TRACE), answer(unix.SECCOMP_RET_ALLOW)
	prog := []unix.SockFilter{load(offArch)}
	for _, a := range recordable {
		block := []unix.SockFilter{load(offNr)}
		// firstArgument stops a call for some values of its first argument.
		firstArgument := func(name string, values ...uint32) {
			nr := a.number(name)
			if nr == none {
				return
			}
			block = append(block, unless(uint32(nr), 2*len(values)+2), load(offArg0))
			for _, v := range values {
				block = append(block, unless(v, 1), trace)
			}
			block = append(block, allow)
		}
		anyArgument := func(names ...string) {
			for _, name := range names {
				if nr := a.number(name); nr != none {
					block = append(block, unless(uint32(nr), 1), trace)
				}
			}
		}
		if sections {
			firstArgument("getpriority", Mark)
		} else {
			anyArgument(ancillary...)
			anyArgument(uringSetup, uringEnter, "clone3")
			firstArgument("socketcall", socketcallValues...)
			firstArgument("seccomp", seccompStrict, seccompFilter)
			firstArgument("prctl", unix.PR_SET_SECCOMP)
			if nr := a.number("clone"); nr != none {
				block = append(block, unless(uint32(nr), 4), load(offArg0), hasBit(unix.CLONE_UNTRACED), trace, allow)
			}
		}
		block = append(block, allow)
		prog = append(prog, unless(a.audit, len(block)))
		prog = append(prog, block...)
	}
	return append(prog, allow)
}

var socketcallValues = []uint32{16, 17, 19, 20}
