//go:build !unix || aix

package sys

// Lock does nothing, because the system or its Go port has no flock.
func Lock(int) error { return nil }
