//go:build unix

package report

import (
	"io/fs"
	"syscall"
)

// mustStay reports whether the old file has other names, or a different owner than the new one.
// Renaming the new file would change that.
func mustStay(old, new fs.FileInfo) bool {
	was, _ := old.Sys().(*syscall.Stat_t)
	is, _ := new.Sys().(*syscall.Stat_t)
	return was.Nlink > 1 || was.Uid != is.Uid || was.Gid != is.Gid
}
