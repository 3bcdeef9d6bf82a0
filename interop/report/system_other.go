//go:build !linux

package report

import "runtime"

// system is where a report is made. Only Linux plays cases.
func system() System { return System{Kernel: runtime.GOOS, Machine: runtime.GOARCH} }
