package target

import (
	_ "embed"
	"slices"
)

//go:embed systemd.txt
var systemdTable string

// A Systemd is a version of systemd, and the kernel on which it runs.
type Systemd struct {
	Version, Kernel string // Kernel is the name of a Kernel
	Packages        []Package
}

// A Package is a Debian package.
type Package struct {
	SHA256, Path string // Path is relative to the root of a Debian mirror
}

// Systemds returns the versions of systemd, in the order of the table.
func Systemds() []Systemd { return parseSystemds(systemdTable) }

func parseSystemds(table string) (all []Systemd) {
	for _, w := range rows("systemd.txt", table, 4) {
		i := slices.IndexFunc(all, func(s Systemd) bool { return s.Version == w[0] && s.Kernel == w[1] })
		if i < 0 {
			i = len(all)
			all = append(all, Systemd{Version: w[0], Kernel: w[1]})
		}
		all[i].Packages = append(all[i].Packages, Package{SHA256: w[2], Path: w[3]})
	}
	return all
}
