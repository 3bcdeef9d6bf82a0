//go:build !linux

package process

// Main does nothing: peers are started on Linux alone.
func Main() {}
