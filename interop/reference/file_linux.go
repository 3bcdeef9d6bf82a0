package reference

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/contract"
	"golang.org/x/sys/unix"
)

var openBits = map[string]int{"rdonly": unix.O_RDONLY, "wronly": unix.O_WRONLY, "rdwr": unix.O_RDWR, "create": unix.O_CREAT, "append": unix.O_APPEND,
	"trunc": unix.O_TRUNC, "nonblock": unix.O_NONBLOCK, "path": unix.O_PATH, "directory": unix.O_DIRECTORY, "tmpfile": unix.O_TMPFILE}

// home is the folder of the case. What is done to files by name is done below it, or
// refused with EXDEV, whatever links a peer makes there.
var home string

// atHome tells whether what a number stands for is home, or below it.
func atHome(fd int) bool {
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	return err == nil && home != "" && (path == home || strings.HasPrefix(path, home+"/"))
}

// A place is a name in a folder.
type place struct {
	dir  int
	name string
	walk []int // the folders on the way, which are open
}

// find goes to the last folder of a path, from dir on, by no link.
func find(dir int, path string) (p place, err error) {
	if home == "" || path != "" && !contract.Beneath(path) {
		return p, unix.EXDEV
	}
	p.dir = dir
	parts := strings.Split(path, "/")
	for _, part := range parts[:len(parts)-1] {
		next, err := unix.Openat(p.dir, part, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			p.close()
			return p, err
		}
		p.dir, p.walk = next, append(p.walk, next)
	}
	p.name = parts[len(parts)-1]
	return p, nil
}

func (p place) close() {
	for _, fd := range p.walk {
		_ = unix.Close(fd) // it was only looked through
	}
}

func (p place) open(flags int, mode uint32) (int, error) {
	return unix.Openat(p.dir, p.name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
}

// at makes a call with the place of a path.
func at(path string, call func(p place) error) (string, error) {
	p, err := find(unix.AT_FDCWD, path)
	if err != nil {
		return "", err
	}
	defer p.close()
	return "", call(p)
}

// atFile makes a call with the name in /proc of the file at a path, which is no link.
func atFile(path string, call func(name string) error) (string, error) {
	return at(path, func(p place) error {
		fd, err := p.open(unix.O_PATH, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT == unix.S_IFLNK {
			return unix.EXDEV
		}
		return call(fmt.Sprintf("/proc/self/fd/%d", fd))
	})
}

// open opens path=, below dir= if that is told.
func open(a *args) (string, error) {
	flags := a.words("flags", openBits)
	dir := a.number("dir", unix.AT_FDCWD)
	mode := uint32(a.number("mode", 0o600))
	path := a.text("path", "")
	if !a.has("dir") && slices.Contains(contract.OwnFiles, path) {
		return a.held(place{dir: unix.AT_FDCWD, name: path}.open(flags, 0))
	}
	if a.has("dir") && (path == contract.Above || !atHome(dir)) {
		return openElsewhere(a, dir, path, flags)
	}
	p, err := find(dir, path)
	if err != nil {
		return "", err
	}
	defer p.close()
	return a.held(p.open(flags, mode))
}

// openElsewhere opens what is in a folder that is not the case's: that very folder, or
// the one above if that is the case's, and no file.
func openElsewhere(a *args, dir int, path string, flags int) (string, error) {
	p := place{dir: dir, name: path}
	if flags&^(unix.O_PATH|unix.O_DIRECTORY) != 0 || path != "." && !contract.Beneath(path) && path != contract.Above || strings.Contains(path, "/") {
		return "", unix.EXDEV
	}
	fd, err := p.open(unix.O_PATH, 0)
	if err == nil && path != "." && !atHome(fd) {
		_ = unix.Close(fd)
		return "", unix.EXDEV
	}
	if err == nil && flags&unix.O_PATH == 0 {
		_ = unix.Close(fd)
		fd, err = p.open(flags, 0)
	}
	return a.held(fd, err)
}

// link gives a name to a file that has none.
func link(a *args) (string, error) {
	fd := a.fd()
	return at(a.text("path", ""), func(p place) error {
		return unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), p.dir, p.name, unix.AT_SYMLINK_FOLLOW)
	})
}

func unlink(a *args) (string, error) {
	return at(a.text("path", ""), func(p place) error { return unix.Unlinkat(p.dir, p.name, 0) })
}

func mkdir(a *args) (string, error) {
	mode := uint32(a.number("mode", 0o700))
	return at(a.text("path", ""), func(p place) error { return unix.Mkdirat(p.dir, p.name, mode) })
}

func rename(a *args) (string, error) {
	return at(a.text("path", ""), func(from place) error {
		_, err := at(a.text("to", ""), func(to place) error { return unix.Renameat(from.dir, from.name, to.dir, to.name) })
		return err
	})
}

func chmod(a *args) (string, error) {
	mode := uint32(a.number("mode", 0))
	return atFile(a.text("path", ""), func(name string) error { return unix.Chmod(name, mode) })
}

func chown(a *args) (string, error) {
	uid := a.number("uid", -1)
	return atFile(a.text("path", ""), func(name string) error { return unix.Chown(name, uid, uid) })
}

// chdir goes to a folder below. With a path from the root on, which no scenario can
// say, the runner tells what the folder of the case is.
func chdir(a *args) (string, error) {
	path := a.text("path", "")
	if strings.HasPrefix(path, "/") {
		home = ""
		if err := unix.Chdir(path); err != nil {
			return "", err
		}
		var err error
		home, err = os.Readlink("/proc/self/cwd")
		return "", err
	}
	return atFile(path, unix.Chdir)
}

// userOf is the least of the users that are named after processes: they are in no list.
const userOf = 1 << 28

// userOfProcess returns the user who is named after a process: after its number, which has
// 22 bits, and the PID namespace, as the kernel has one set of users for all. As many
// namespaces are told apart as leave it a positive number.
func userOfProcess(pid int) int {
	var namespace unix.Stat_t
	_ = unix.Stat("/proc/self/ns/pid", &namespace) // a kernel without it has one
	return userOf + int(namespace.Ino%((1<<31-userOf)>>22))<<22 + pid
}

// setuid makes the process another user's for good, in all its threads, and
// without the rights of groups. With pid= it is a user who is named after that
// process: what such users have in flight is not mixed up with what others have.
func setuid(a *args) (string, error) {
	uid := a.number("uid", -1)
	if a.has("pid") {
		uid = userOfProcess(a.number("pid", 0))
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
