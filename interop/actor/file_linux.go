package actor

import (
	"fmt"

	"golang.org/x/sys/unix"
)

var openBits = map[string]int{"rdonly": unix.O_RDONLY, "wronly": unix.O_WRONLY, "rdwr": unix.O_RDWR, "create": unix.O_CREAT, "append": unix.O_APPEND,
	"trunc": unix.O_TRUNC, "nonblock": unix.O_NONBLOCK, "path": unix.O_PATH, "directory": unix.O_DIRECTORY, "tmpfile": unix.O_TMPFILE}

// open opens path=, below dir= if that is told.
func open(a *args) (string, error) {
	flags := a.words("flags", openBits)
	dir := a.number("dir", unix.AT_FDCWD)
	mode := a.number("mode", 0o600)
	if a.err != nil {
		return "", nil
	}
	return a.held(unix.Openat(dir, a.text("path", ""), flags|unix.O_CLOEXEC, uint32(mode)))
}

// link gives a name to a file that has none.
func link(a *args) (string, error) {
	return "", unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", a.fd()), unix.AT_FDCWD, a.text("path", ""), unix.AT_SYMLINK_FOLLOW)
}

func unlink(a *args) (string, error) { return "", unix.Unlink(a.text("path", "")) }

func mkdir(a *args) (string, error) {
	return "", unix.Mkdir(a.text("path", ""), uint32(a.number("mode", 0o700)))
}

func rename(a *args) (string, error) { return "", unix.Rename(a.text("path", ""), a.text("to", "")) }

func chmod(a *args) (string, error) {
	return "", unix.Chmod(a.text("path", ""), uint32(a.number("mode", 0)))
}

func chown(a *args) (string, error) {
	uid := a.number("uid", -1)
	return "", unix.Chown(a.text("path", ""), uid, uid)
}

func chdir(a *args) (string, error) { return "", unix.Chdir(a.text("path", "")) }

// userOf is added to the number of a process: a user who is in no list.
const userOf = 1 << 28

// setuid makes the process another user's for good, in all its threads, and
// without the rights of groups. With pid= it is a user who is named after that
// process: what such users have in flight is not mixed up with what others have.
func setuid(a *args) (string, error) {
	uid := a.number("uid", -1)
	if a.has("pid") {
		uid = userOf + a.number("pid", 0)
	}
	if a.err != nil {
		return "", nil
	}
	if err := unix.Setgroups(nil); err != nil {
		return "", err
	}
	if err := unix.Setresgid(uid, uid, uid); err != nil {
		return "", err
	}
	if err := unix.Setresuid(uid, uid, uid); err != nil {
		return "", err
	}
	// Or it could not read of itself in /proc.
	return "", unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
}
