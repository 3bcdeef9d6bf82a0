//go:build !linux

package reexec

import "os"

func self() []string {
	program, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return []string{program}
}

func lasting() []string { return self() }

func keepInherited() {}
