//go:build !linux

package report

import "runtime"

// system describes this machine. Only Linux runs cases, but other systems read and write reports.
func system() System { return System{Kernel: runtime.GOOS, Machine: runtime.GOARCH} }
