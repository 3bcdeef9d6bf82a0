//go:build !linux

package peers

// lock does nothing: the runner is for Linux.
func lock(string) (unlock func(), err error) {
	return func() {}, nil
}
