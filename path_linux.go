package scm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// sysHasLongPaths: a path that is longer than sun_path is reached by way of its
// folder.
const sysHasLongPaths = true

// fileInfo is what is known of a file.
type fileInfo struct {
	dev, ino  uint64
	mode, uid uint32
}

func infoOf(st *unix.Stat_t) fileInfo {
	return fileInfo{uint64(st.Dev), st.Ino, st.Mode, st.Uid}
}

func (i fileInfo) same(other fileInfo) bool { return i.dev == other.dev && i.ino == other.ino }
func (i fileInfo) isSocket() bool           { return i.mode&unix.S_IFMT == unix.S_IFSOCK }
func (i fileInfo) perm() fs.FileMode        { return fs.FileMode(i.mode & 0o777) }

// A folder is one that is open (O_PATH). What is done in it follows no link.
type folder struct{ fd int }

func openFolder(path string) (f folder, info fileInfo, err error) {
	f.fd, info, err = openPath(unix.AT_FDCWD, path, unix.O_DIRECTORY)
	return f, info, err
}

// openPath opens a file for no other use than to be named.
func openPath(at int, path string, flags int) (fd int, info fileInfo, err error) {
	// Package os goes on after a signal too: a network file system can be
	// interrupted.
	err = uninterrupted(func() (err error) {
		fd, err = unix.Openat(at, path, flags|unix.O_PATH|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return -1, info, err
	}
	var st unix.Stat_t
	if err := uninterrupted(func() error { return unix.Fstat(fd, &st) }); err != nil {
		sysClose(fd)
		return -1, info, os.NewSyscallError("fstat", err)
	}
	return fd, infoOf(&st), nil
}

func uninterrupted(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// numberName is a path to what an open number stands for. In /proc/self a thread
// that has a table of its own finds the numbers of another one.
func numberName(fd int) string { return "/proc/thread-self/fd/" + strconv.Itoa(fd) }

func (f folder) close() { sysClose(f.fd) }

// name is a path to a file of the folder, wherever that is.
func (f folder) name(base string) string { return numberName(f.fd) + "/" + base }

func (f folder) look(base string) (fileInfo, error) {
	var st unix.Stat_t
	err := uninterrupted(func() error { return unix.Fstatat(f.fd, base, &st, unix.AT_SYMLINK_NOFOLLOW) })
	return infoOf(&st), os.NewSyscallError("fstatat", err)
}

func (f folder) remove(base string) error {
	err := uninterrupted(func() error { return unix.Unlinkat(f.fd, base, 0) })
	return os.NewSyscallError("unlinkat", err)
}

func (f folder) rename(from, to string) error {
	err := uninterrupted(func() error { return unix.Renameat(f.fd, from, f.fd, to) })
	return os.NewSyscallError("renameat", err)
}

// putBack is rename that replaces nothing.
func (f folder) putBack(from, to string) error {
	err := uninterrupted(func() error { return unix.Renameat2(f.fd, from, f.fd, to, unix.RENAME_NOREPLACE) })
	if err != unix.EINVAL && err != unix.ENOSYS {
		return os.NewSyscallError("renameat2", err)
	}
	// Not every file system knows it.
	if err := unix.Linkat(f.fd, from, f.fd, to, 0); err != nil {
		return os.NewSyscallError("linkat", err)
	}
	return f.remove(from)
}

// lockable opens the folder for sysLock.
func (f folder) lockable() (fd int, err error) {
	err = uninterrupted(func() (err error) {
		fd, err = unix.Openat(f.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		return err
	})
	return fd, os.NewSyscallError("openat", err)
}

// heldFile is a file of a folder. As long as it is held, no other file can have
// its inode's number.
type heldFile struct {
	fd   int
	info fileInfo
}

func (p *place) hold() (h heldFile, err error) {
	h.fd, h.info, err = openPath(p.fd, p.base, unix.O_NOFOLLOW)
	if err != nil {
		return h, &os.PathError{Op: "open", Path: p.path, Err: err}
	}
	return h, nil
}

func (h heldFile) close() { sysClose(h.fd) }

// connect connects sock to the file that is held, whatever is at its path by now.
func (h heldFile) connect(p *place, sock int) error {
	err := sysConnect(sock, numberName(h.fd))
	if errors.Is(err, unix.ENOENT) { // there is no /proc
		err = p.withName(p.base, func(name string) error { return sysConnect(sock, name) })
	}
	return err
}

// chmod gives the socket file that was just bound a mode, where bindMode could
// not. That it is the file is known only if nobody else may put another one in its
// place.
func (p *place) chmod(info fileInfo, mode fs.FileMode) error {
	me := uint32(os.Geteuid())
	others := p.info.mode&0o022 != 0 && p.info.mode&unix.S_ISVTX == 0
	if others || p.info.uid != 0 && p.info.uid != me || info.uid != me {
		return fmt.Errorf("the umask takes permissions from mode %v, and others may write to the folder: %w", mode, unix.EPERM)
	}
	h, err := p.hold()
	if err != nil {
		return err
	}
	defer h.close()
	if !h.info.same(info) {
		return fmt.Errorf("the new socket file was replaced: %w", unix.EEXIST)
	}
	err = uninterrupted(func() error { return unix.Chmod(numberName(h.fd), uint32(mode)) })
	return os.NewSyscallError("chmod", err)
}

// bindMode is sysBind without the umask, if the kernel lets a thread have one of
// its own. No other thread's is changed.
func (p *place) bindMode(fd int, name string) error {
	caller, err := p.seen(fd)
	if err != nil {
		return err
	}
	bound := false
	onThread(func() {
		other, failed := p.seen(fd)
		if failed != nil || other != caller {
			return
		}
		// A seccomp filter can forbid it, as Docker's does.
		if unix.Unshare(unix.CLONE_FS) != nil {
			return
		}
		unix.Umask(0)
		bound, err = true, sysBind(fd, name)
	})
	if !bound {
		err = sysBind(fd, name)
	}
	return err
}

// view is what another thread can have of its own, where the caller's is locked: a
// table of descriptors, a file system and a user.
type view struct {
	socket, folder [2]uint64
	uid, gid       int
}

func (p *place) seen(sock int) (v view, err error) {
	var socket, folder unix.Stat_t
	if err := uninterrupted(func() error { return unix.Fstat(sock, &socket) }); err != nil {
		return v, os.NewSyscallError("fstat", err)
	}
	dir := p.dir
	if dir == "" {
		dir = "."
	}
	if err := uninterrupted(func() error { return unix.Stat(dir, &folder) }); err != nil {
		return v, &os.PathError{Op: "stat", Path: dir, Err: err}
	}
	v.socket = [2]uint64{uint64(socket.Dev), socket.Ino}
	v.folder = [2]uint64{uint64(folder.Dev), folder.Ino}
	v.uid, err = unix.SetfsuidRetUid(-1)
	if err == nil {
		v.gid, err = unix.SetfsgidRetGid(-1)
	}
	return v, err
}

// onThread calls f on a thread that ends afterwards. The main thread cannot end.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			onThread(f)
			runtime.UnlockOSThread()
			return
		}
		f()
	}()
	<-done
}
