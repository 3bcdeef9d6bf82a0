//go:build !linux && !darwin && !freebsd && !solaris

package scm

func peerCred(int) (cred Cred, call string, err error) {
	return Cred{}, "getsockopt", ErrUnsupported
}
