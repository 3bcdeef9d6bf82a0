//go:build linux

package main

import (
	"os"
	"strings"
	"testing"

	"github.com/scm-rights/scm/proof/must"
	"github.com/scm-rights/scm/proof/systemd/driver"
)

func TestEveryPlannedCheckExists(t *testing.T) {
	if err := must.Try(func() { driver.Verify("plan.txt", checks) }); err != nil {
		t.Error(err)
	}
}

func TestPageHasTheOptions(t *testing.T) {
	page, err := os.ReadFile("../../../docs/howto.md")
	if err != nil {
		t.Fatal(err)
	}
	if command := "    systemd-run --unit=fdstore " + transient + " $PWD/build/fdstore\n"; !strings.Contains(string(page), command) {
		t.Errorf("docs/howto.md lacks %q", command)
	}
}
