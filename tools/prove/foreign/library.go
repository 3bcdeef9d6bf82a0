//go:build linux

package foreign

import "path/filepath"

// runC runs the C library's own tests, and returns their last line.
func (p platform) runC() (string, error) {
	build, err := filepath.Abs(p.out("csrc-tests"))
	if err != nil {
		return "", err
	}
	text, err := p.makeC("csrc", "BUILD="+build, "LDFLAGS=", "test")
	if err != nil {
		return "", err
	}
	return "csrc: " + lastLine(text), nil
}
