package catalogue_test

import (
	"os"
	"testing"

	"github.com/scm-rights/scm/interop/process"
)

func TestMain(m *testing.M) {
	process.Main()
	os.Exit(m.Run())
}
