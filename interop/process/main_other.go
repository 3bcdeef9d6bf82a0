//go:build !linux

package process

// Main does nothing, because only Linux can run peers.
func Main() {}
