package recorder

import (
	"maps"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// An Arch describes the system call numbers and structure layouts of an architecture.
type Arch struct {
	Name  string
	word  int    // the size of a pointer and of a size_t, in bytes
	audit uint32 // AUDIT_ARCH_…
	// column returns the system call number in a row of the table.
	column func(*tableRow) int
	// calls returns the signatures by system call number.
	calls func() map[uint64]*signature
}

var (
	amd64 = newArch("amd64", 8, unix.AUDIT_ARCH_X86_64, func(r *tableRow) int { return r.amd64 })
	i386  = newArch("386", 4, unix.AUDIT_ARCH_I386, func(r *tableRow) int { return r.i386 })
	arm64 = newArch("arm64", 8, unix.AUDIT_ARCH_AARCH64, func(r *tableRow) int { return r.generic })
	arm   = newArch("arm", 4, unix.AUDIT_ARCH_ARM, func(r *tableRow) int { return r.arm })
	// The system call numbers of riscv64 are those of arm64: both are from asm-generic/unistd.h.
	riscv64 = newArch("riscv64", 8, unix.AUDIT_ARCH_RISCV64, func(r *tableRow) int { return r.generic })
	ppc64le = newArch("ppc64le", 8, unix.AUDIT_ARCH_PPC64LE, func(r *tableRow) int { return r.ppc64le })
	s390x   = newArch("s390x", 8, unix.AUDIT_ARCH_S390X, func(r *tableRow) int { return r.s390x })
)

func newArch(name string, word int, audit uint32, column func(*tableRow) int) *Arch {
	a := &Arch{Name: name, word: word, audit: audit, column: column}
	a.calls = sync.OnceValue(func() map[uint64]*signature {
		calls := make(map[uint64]*signature, len(table))
		for i := range table {
			if nr := column(&table[i]); nr != none {
				calls[uint64(nr)] = table[i].parse()
			}
		}
		return calls
	})
	return a
}

// recordableOn lists the architectures that a tracer on each architecture can record.
var recordableOn = map[string][]*Arch{
	"amd64":   {amd64, i386},
	"386":     {i386},
	"arm64":   {arm64, arm},
	"arm":     {arm},
	"riscv64": {riscv64},
	"ppc64le": {ppc64le},
	"s390x":   {s390x},
}

// recordable are the architectures that this tracer can record.
var recordable = recordableOn[runtime.GOARCH]

// Architectures returns the names of the architectures that the recorder supports.
func Architectures() []string { return slices.Sorted(maps.Keys(recordableOn)) }

// Supported reports whether the recorder supports the architecture of this program.
func Supported() bool { return len(recordable) > 0 }

// archOf returns the architecture for an AUDIT_ARCH_ value, and nil if its calls are not recorded.
func archOf(audit uint32) *Arch {
	for _, a := range recordable {
		if a.audit == audit {
			return a
		}
	}
	return nil
}

// syscallNumber returns the number of a call in the table, and none if the architecture lacks it.
func (a *Arch) syscallNumber(name string) int {
	for i := range table {
		if nr := a.column(&table[i]); table[i].name == name && nr != none {
			return nr
		}
	}
	return none
}
