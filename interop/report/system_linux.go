package report

import (
	"os"

	"github.com/scm-rights/scm/interop/witness"
	"golang.org/x/sys/unix"
)

// system describes this machine.
func system() System {
	s := System{Kind: witness.ThisKernel().Kind, User: os.Getuid()}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		s.Kernel = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
		s.Machine = unix.ByteSliceToString(u.Machine[:])
	}
	return s
}
