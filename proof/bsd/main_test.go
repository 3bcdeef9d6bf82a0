//go:build linux

package main

import (
	"os"
	"os/exec"
	"testing"

	"github.com/scm-rights/scm/proof/must"
)

func TestInitCompiles(t *testing.T) {
	cmd := exec.Command("go", "vet", "../machine/init")
	cmd.Env = append(os.Environ(), "GOOS=netbsd", "GOARCH=amd64", "CGO_ENABLED=0")
	must.Run(cmd)
}
