//go:build unix && !linux && !aix

package scm_test

import (
	"testing"

	"github.com/scm-rights/scm"
	. "github.com/scm-rights/scm/internal/spectest"
)

func TestMain(m *testing.M) { Main(m) }

func TestSuite(t *testing.T) {
	Run(t, "scm over "+scm.Backend)
}
