//go:build linux

package foreign

import (
	"fmt"
	"os"
	"os/exec"
)

// goTool runs the go command for the platform. What has C in it is linked with all of it, since this
// machine has no shared libraries of the platform's; net and os/user then have none.
func (p platform) goTool(command []string, args ...string) error {
	if p.cc() == "" {
		command = append(command, "-tags=purego")
	} else {
		command = append(command, "-tags=netgo,osusergo", "-ldflags=-extldflags=-static")
	}
	cmd := exec.Command("go", append(command, args...)...)
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+p.Arch, "CGO_ENABLED=0")
	if p.cc() != "" {
		cmd.Env = append(cmd.Env, "CGO_ENABLED=1", "CC="+p.cc())
	}
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %v: %w\n%s", command, err, text)
	}
	return nil
}

// makeC builds what the Makefile of a folder has by these names with the platform's compiler.
func (p platform) makeC(folder string, args ...string) (string, error) {
	cmd := exec.Command("make", append([]string{"-s", "--no-print-directory", "-C", folder, "CC=" + p.cc(), "LDFLAGS=-static"}, args...)...)
	// The flags of a make that runs this are not for the makes below.
	cmd.Env = append(os.Environ(), "MAKEFLAGS=", "MAKEOVERRIDES=")
	text, err := cmd.CombinedOutput()
	if err != nil {
		log := p.out("make.out")
		if err := os.WriteFile(log, text, 0o666); err != nil {
			return "", err
		}
		return "", fmt.Errorf("make -C %s: %w: %s; see %s", folder, err, lastLine(string(text)), log)
	}
	return string(text), nil
}
