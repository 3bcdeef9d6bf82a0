//go:build unix && !linux && !aix

package scm_test

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm"
	. "github.com/scm-rights/scm/internal/spectest"
)

func TestMain(m *testing.M) { Main(m) }

func TestSuite(t *testing.T) {
	RegisterFailHandler(Fail)
	Run(t, "scm over "+scm.Backend)
}

var _ = ReportAfterSuite("skips", func(r Report) { PrintSkips(r) })
