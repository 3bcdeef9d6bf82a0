//go:build linux

package wire_test

import (
	. "github.com/onsi/ginkgo/v2"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/wire"
)

// cannotEmulate skips a spec under an emulator, for one of the reasons in fdtest.
func cannotEmulate(what string) {
	GinkgoHelper()
	if fdtest.Emulator() != "" {
		Skip(what)
	}
}

// cannotEmulateFormat skips the specs of the format that has no payload.
func cannotEmulateFormat(format wire.Format) {
	GinkgoHelper()
	if format == wire.GVisor {
		cannotEmulate(fdtest.NoBuffers)
	}
}
