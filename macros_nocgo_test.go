//go:build linux && !cgo

package scm_test

// There is no C to ask.
var cSpace, cLen func(int) int
