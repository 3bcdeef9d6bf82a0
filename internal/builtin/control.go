//go:build linux

package builtin

import "golang.org/x/sys/unix"

// control returns a control buffer with descriptors to send.
func control(fds []int) []byte {
	if len(fds) == 0 {
		return nil
	}
	return unix.UnixRights(fds...)
}

// controlFor returns a control buffer to receive n descriptors, of the size that examples use. On 64-bit
// systems, if n is odd, it has space for one more, which received then returns.
func controlFor(n int) []byte {
	if n == 0 {
		return nil
	}
	return make([]byte, unix.CmsgSpace(4*n))
}

// received returns the descriptors in a control buffer, in the way that the documentation of x/sys describes.
func received(oob []byte) ([]int, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	var all []int
	for _, m := range messages {
		if m.Header.Level != unix.SOL_SOCKET || m.Header.Type != unix.SCM_RIGHTS {
			continue
		}
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			return nil, err
		}
		all = append(all, fds...)
	}
	return all, nil
}
