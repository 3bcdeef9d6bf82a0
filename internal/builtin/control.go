//go:build linux

package builtin

import "golang.org/x/sys/unix"

// control is what to send for these descriptors.
func control(fds []int) []byte {
	if len(fds) == 0 {
		return nil
	}
	return unix.UnixRights(fds...)
}

// controlFor is room for n descriptors, as one finds it in examples. Where n is
// odd and int half a word it admits one more, which received then returns.
func controlFor(n int) []byte {
	if n == 0 {
		return nil
	}
	return make([]byte, unix.CmsgSpace(4*n))
}

// received are the descriptors in a control buffer, taken out as the
// documentation of x/sys has it.
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
