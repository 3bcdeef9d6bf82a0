//go:build !linux

package scm

const (
	optionPassCred = iota
	optionPassPIDFD
	optionPassRights
)

func setOption(sock, option, value int) (call string, err error) {
	return "setsockopt", ErrUnsupported
}

func peerPIDFD(int) (int, error) {
	return -1, ErrUnsupported
}
