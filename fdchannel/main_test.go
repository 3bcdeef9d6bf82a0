//go:build linux

package fdchannel_test

import (
	"os"
	"testing"

	"github.com/onsi/gomega"

	"github.com/scm-rights/scm/internal/builtin"
	"github.com/scm-rights/scm/internal/spectest"
	"github.com/scm-rights/scm/interop/process"
)

func TestMain(m *testing.M) {
	process.Main()
	builtin.Main()
	gomega.SetDefaultEventuallyTimeout(spectest.Hang) // the default of one second is too short on a busy machine
	os.Exit(m.Run())
}
