//go:build linux

package fdchannel_test

import (
	"os"
	"testing"

	"github.com/scm-rights/scm/internal/builtin"
)

func TestMain(m *testing.M) {
	builtin.Main()
	os.Exit(m.Run())
}
