//go:build darwin || freebsd

package scm

import "golang.org/x/sys/unix"

// firstGroup is the effective group, with which the list begins.
func firstGroup(x *unix.Xucred) int {
	if x.Ngroups < 1 {
		return -1
	}
	return int(x.Groups[0])
}
