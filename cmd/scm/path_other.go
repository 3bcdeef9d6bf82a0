//go:build unix && !linux

package main

// isPath is about Linux.
func isPath(int) bool { return false }

// anonymousKind is about Linux.
func anonymousKind(string) string { return "" }
