package recorder

import "golang.org/x/sys/unix"

// recordable is what a tracer of this architecture records.
var recordable = []*Arch{amd64, i386}

const supported = true

// registers are those of a tracee of either width: a 64-bit tracer sees both
// alike.
type registers struct{ unix.PtraceRegsAmd64 }

func (r *registers) get(tid int) error { return unix.PtraceGetRegsAmd64(tid, &r.PtraceRegsAmd64) }
func (r *registers) set(tid int) error { return unix.PtraceSetRegsAmd64(tid, &r.PtraceRegsAmd64) }

// call makes the registers those of a system call about to be made, and
// returns the instruction that makes it.
func (r *registers) call(a *Arch, nr int, args [6]uint64) []byte {
	r.Rax = uint64(nr)
	r.Orig_rax = ^uint64(0) // no call is under way that could be restarted
	if a == i386 {
		r.Rbx, r.Rcx, r.Rdx, r.Rsi, r.Rdi, r.Rbp = args[0], args[1], args[2], args[3], args[4], args[5]
		return []byte{0xcd, 0x80} // int $0x80
	}
	r.Rdi, r.Rsi, r.Rdx, r.R10, r.R8, r.R9 = args[0], args[1], args[2], args[3], args[4], args[5]
	return []byte{0x0f, 0x05} // syscall
}
