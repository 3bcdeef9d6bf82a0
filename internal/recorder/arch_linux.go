package recorder

import (
	"runtime"
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
	arm64 = newArch("arm64", 8, unix.AUDIT_ARCH_AARCH64, func(r *tableRow) int { return r.arm64 })
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

// recordable are the architectures that a tracer on this architecture can record.
var recordable = map[string][]*Arch{"amd64": {amd64, i386}, "386": {i386}, "arm64": {arm64}}[runtime.GOARCH]

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
		if table[i].name == name {
			return a.column(&table[i])
		}
	}
	return none
}
