//go:build linux

package main

import (
	"testing"

	"github.com/scm-rights/scm/tools/prove/systemd/driver"
)

func TestEveryPlannedCheckExists(t *testing.T) {
	if err := driver.Verify("plan.txt", checks); err != nil {
		t.Error(err)
	}
}
