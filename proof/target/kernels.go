package target

import (
	_ "embed"
	"fmt"
	"os/exec"
	"strings"
)

var (
	//go:embed kernels.txt
	kernelTable string
	//go:embed machines.txt
	machineTable string
)

// A Kernel is a Debian package that contains a Linux kernel.
type Kernel struct {
	Name, Arch   string
	SHA256, Path string // Path is relative to the root of a Debian mirror
}

// Kernels returns the kernels, in the order of the table.
func Kernels() (all []Kernel) {
	for _, w := range rows("kernels.txt", kernelTable, 4) {
		all = append(all, Kernel{Name: w[0], Arch: w[1], SHA256: w[2], Path: w[3]})
	}
	return all
}

// A Machine is an emulated machine that boots the kernels of an architecture.
type Machine struct {
	Arch, Console string
	Command       []string // with its options
	debian        string   // the package
}

// MachineFor returns the machine for an architecture. If its emulator is not installed, it returns an error that
// wraps ErrMissing.
func MachineFor(arch string) (Machine, error) {
	for _, w := range rows("machines.txt", machineTable, 5) {
		if w[0] != arch {
			continue
		}
		m := Machine{Arch: arch, debian: w[1], Console: w[2], Command: w[3:]}
		if _, err := exec.LookPath(m.Command[0]); err != nil {
			return m, fmt.Errorf("%w: %w; root can install it: apt-get install %s", ErrMissing, err, m.debian)
		}
		return m, nil
	}
	return Machine{}, fmt.Errorf("proof/target/machines.txt has no machine for %q", arch)
}

// rows returns the words of each line of a table, without comments and blank lines. The tables are part of the program,
// so it panics if a line has fewer words than columns.
func rows(file, table string, columns int) (list [][]string) {
	number := 0
	for line := range strings.Lines(table) {
		number++
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if len(words) < columns {
			panic(fmt.Sprintf("proof/target/%s:%d: %d words, want at least %d", file, number, len(words), columns))
		}
		list = append(list, words)
	}
	return list
}
