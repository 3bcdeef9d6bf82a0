package recorder

import "golang.org/x/sys/unix"

// recordable is what a tracer of this architecture records.
var recordable = []*Arch{arm64}

const supported = true

// ntPrstatus is NT_PRSTATUS of linux/elf.h: the general registers.
const ntPrstatus = 1

type registers struct{ unix.PtraceRegsArm64 }

func (r *registers) get(tid int) error {
	return unix.PtraceGetRegSetArm64(tid, ntPrstatus, &r.PtraceRegsArm64)
}

func (r *registers) set(tid int) error {
	return unix.PtraceSetRegSetArm64(tid, ntPrstatus, &r.PtraceRegsArm64)
}

// call makes the registers those of a system call about to be made, and
// returns the instruction that makes it.
func (r *registers) call(_ *Arch, nr int, args [6]uint64) []byte {
	copy(r.Regs[:6], args[:])
	r.Regs[8] = uint64(nr)
	return []byte{0x01, 0x00, 0x00, 0xd4} // svc #0
}
