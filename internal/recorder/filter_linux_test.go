package recorder

import (
	"testing"

	"golang.org/x/sys/unix"
)

// evaluate runs a filter. It supports only the instructions that filters use.
func evaluate(t *testing.T, prog []unix.SockFilter, audit, nr, arg0 uint32) uint32 {
	t.Helper()
	var acc uint32
	for pc := 0; pc < len(prog); pc++ {
		switch in := prog[pc]; in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			acc = map[uint32]uint32{offNr: nr, offArch: audit, offArg0: arg0}[in.K]
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			if acc == in.K {
				pc += int(in.Jt)
			} else {
				pc += int(in.Jf)
			}
		case unix.BPF_RET | unix.BPF_K:
			return in.K
		default:
			t.Fatalf("instruction %d is %#x", pc, in.Code)
		}
	}
	t.Fatal("the filter has no end")
	return 0
}

func TestFilter(t *testing.T) {
	if len(recordable) == 0 {
		t.Skip(platform())
	}
	prog := filter()
	for _, a := range recordable {
		for nr := range uint32(600) {
			for _, arg0 := range []uint32{0, 1, 16, 17, 18, 19, 20, 21, 22, Mark} {
				var name string
				if sig := a.calls()[uint64(nr)]; sig != nil {
					name = sig.name
				}
				want := uint32(unix.SECCOMP_RET_ALLOW)
				switch {
				case name == "getpriority" && arg0 == Mark,
					a.calls()[uint64(nr)].hasMessages(),
					name == "socketcall" && socketcalls[uint64(arg0)] != "":
					want = unix.SECCOMP_RET_TRACE
				}
				if got := evaluate(t, prog, a.audit, nr, arg0); got != want {
					t.Errorf("%s: call %d %s(%d): %#x, want %#x", a.Name, nr, name, arg0, got, want)
				}
			}
		}
	}
	if got := evaluate(t, prog, unix.AUDIT_ARCH_MIPS, 47, 0); got != unix.SECCOMP_RET_ALLOW {
		t.Errorf("another processor: %#x", got)
	}
}
