package recorder

import "golang.org/x/sys/unix"

// recordable is what a tracer of this architecture records.
var recordable = []*Arch{i386}

const supported = true

type registers struct{ unix.PtraceRegs386 }

func (r *registers) get(tid int) error { return unix.PtraceGetRegs386(tid, &r.PtraceRegs386) }
func (r *registers) set(tid int) error { return unix.PtraceSetRegs386(tid, &r.PtraceRegs386) }

// call makes the registers those of a system call about to be made, and
// returns the instruction that makes it.
func (r *registers) call(_ *Arch, nr int, args [6]uint64) []byte {
	r.Eax = int32(nr)
	r.Orig_eax = -1 // no call is under way that could be restarted
	r.Ebx, r.Ecx, r.Edx = int32(args[0]), int32(args[1]), int32(args[2])
	r.Esi, r.Edi, r.Ebp = int32(args[3]), int32(args[4]), int32(args[5])
	return []byte{0xcd, 0x80} // int $0x80
}
