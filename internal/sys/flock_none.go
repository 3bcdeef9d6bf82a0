//go:build !unix || aix

package sys

// Lock has nothing to lock with.
func Lock(int) error { return nil }
