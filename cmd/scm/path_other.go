//go:build unix && !linux

package main

// isPath is about Linux.
func isPath(int) bool { return false }
