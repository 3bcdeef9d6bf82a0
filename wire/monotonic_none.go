//go:build !linux

package wire

// monotonic returns no line: only systemd, which runs on Linux, reads it.
func monotonic() (line string, err error) { return "", nil }
