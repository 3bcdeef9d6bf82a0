package fdtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// mostTemp is the maximum length of the name of the directory for temporary files. The address of a socket has at most
// 103 bytes on some systems, and tests append the names of a directory or two.
const mostTemp = 40

// ShortTemp returns a directory for temporary files: that of os.TempDir if its name is short enough for sockets and has
// no space, which make cannot handle, and if other users may search it. Otherwise it returns /tmp.
func ShortTemp() string {
	dir := os.TempDir()
	if len(dir) <= mostTemp && filepath.IsAbs(dir) && !strings.Contains(dir, " ") && Searchable(dir) {
		return dir
	}
	if !Searchable("/tmp") { // a system may have none
		return dir
	}
	return "/tmp"
}

// UseShortTemp makes ShortTemp the directory for temporary files of this process and of its children. A TestMain calls
// it if examples, or programs that the tests run, have sockets or make commands there.
func UseShortTemp() {
	if err := os.Setenv("TMPDIR", ShortTemp()); err != nil {
		panic(err)
	}
}

// Searchable reports whether every user may search the directory.
func Searchable(dir string) bool {
	for ; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil || !info.IsDir() || info.Mode()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}

// ShortDir is like t.TempDir, for a directory that has sockets, or that other users may enter once its mode is changed.
// The name of a directory from t.TempDir contains that of the test, which can make it too long for a socket.
func ShortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(ShortTemp(), "scm")
	Must(t, err)
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
