//go:build !linux

package contract

// nameOfErrno returns "": only Linux runs peers, so that no other system meets a number.
func nameOfErrno(int) string { return "" }
