//go:build !linux

package scm

const sysHasAbstract = false

func sysShortName(path string, _ func(name string) error) error {
	return nameTooLong(path)
}
