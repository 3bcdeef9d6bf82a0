//go:build linux

package torture

import (
	"testing"

	"github.com/scm-rights/scm"
	. "github.com/scm-rights/scm/internal/spectest"
)

func TestMain(m *testing.M) { Main(m) }

func TestSuite(t *testing.T) {
	Run(t, "the torture of scm over "+scm.Backend)
}
