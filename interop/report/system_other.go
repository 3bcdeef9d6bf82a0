//go:build !linux

package report

import "runtime"

// system describes this machine. Cases run only on Linux, but reports can also be read and
// written on other systems.
func system() System { return System{Kernel: runtime.GOOS, Machine: runtime.GOARCH} }
