package scm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/sys"
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

// inFolder calls f with a folder. If no number is free, the folder is the working
// folder of a thread of its own.
func inFolder(path string, f func(folder, fileInfo) error) error {
	if path == "" {
		path = "."
	}
	at, info, err := openFolder(path)
	if err == nil {
		defer at.close()
		return f(at, info)
	}
	failed := &os.PathError{Op: "open", Path: path, Err: err}
	if !sys.TableFull(err) {
		return failed
	}
	onThread(func() {
		var st unix.Stat_t
		if unix.Unshare(unix.CLONE_FS) != nil || unix.Chdir(path) != nil || unix.Stat(".", &st) != nil {
			err = failed
			return
		}
		err = f(folder{unix.AT_FDCWD}, infoOf(&st))
	})
	return err
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
		sys.Close(fd)
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

func (f folder) close() { sys.Close(f.fd) }

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

// lockable opens the folder for sysLock, for which it must be readable.
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

func (h heldFile) close() { sys.Close(h.fd) }

// connect connects sock to the file that is held, whatever is at its path by now.
func (h heldFile) connect(p *place, sock int) error {
	err := sys.Connect(sock, numberName(h.fd))
	if errors.Is(err, unix.ENOENT) { // there is no /proc
		err = p.withName(p.base, func(name string) error { return sys.Connect(sock, name) })
	}
	return err
}

// verify returns an error unless the socket file of info is the one that sock was just
// bound to: errReplaced, or errUnverified where the kernel does not say.
func (p *place) verify(sock int, info fileInfo) error {
	alone, err := p.isOursAlone(info)
	if err != nil || alone {
		return err
	}
	inode, err := boundInode(sock)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnverified, err)
	}
	if inode != uint32(info.ino) {
		return errReplaced
	}
	return nil
}

// chmod gives the socket file of info the permissions that the umask took from it, and
// no other file.
func (p *place) chmod(info fileInfo, mode fs.FileMode) error {
	h, err := p.hold()
	if err != nil {
		return err
	}
	defer h.close()
	if !h.info.same(info) {
		return errReplaced
	}
	err = uninterrupted(func() error { return unix.Chmod(numberName(h.fd), uint32(mode)) })
	if err == unix.ENOENT { // there is no /proc
		err = uninterrupted(func() error { return unix.Fchmodat(h.fd, "", uint32(mode), unix.AT_EMPTY_PATH) })
	}
	return os.NewSyscallError("chmod", err)
}

// isOursAlone tells whether the file of info belongs to this user, and nobody but
// this user and root can put another one in its place.
func (p *place) isOursAlone(info fileInfo) (bool, error) {
	// Files belong to the file system's user, which a thread can have of its own.
	me, err := unix.SetfsuidRetUid(-1)
	if err != nil {
		return false, os.NewSyscallError("setfsuid", err)
	}
	others := p.info.mode&0o022 != 0 && p.info.mode&unix.S_ISVTX == 0 || p.info.uid != 0 && p.info.uid != uint32(me)
	return !others && info.uid == uint32(me), nil
}

// boundInode asks the kernel (sock_diag(7)) for the number of the inode to whose file
// a socket is bound. It has the lower 32 bits of it. That of the file's device is no
// help: Btrfs and overlayfs tell another one to stat(2).
func boundInode(sock int) (uint32, error) {
	const (
		requestSize = unix.SizeofNlMsghdr + 24 // struct unix_diag_req
		replySize   = unix.SizeofNlMsghdr + 16 // struct unix_diag_msg
		showVFS     = 2                        // UDIAG_SHOW_VFS
		typeVFS     = 1                        // UNIX_DIAG_VFS: struct unix_diag_vfs
	)
	var st unix.Stat_t
	if err := uninterrupted(func() error { return unix.Fstat(sock, &st) }); err != nil {
		return 0, os.NewSyscallError("fstat", err)
	}
	cookie, err := unix.GetsockoptUint64(sock, unix.SOL_SOCKET, unix.SO_COOKIE)
	if err != nil {
		return 0, os.NewSyscallError("getsockopt", err)
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	defer sys.Close(fd)
	order := binary.NativeEndian
	request := order.AppendUint32(nil, requestSize)
	request = order.AppendUint16(request, unix.SOCK_DIAG_BY_FAMILY)
	request = order.AppendUint16(request, unix.NLM_F_REQUEST)
	request = append(request, make([]byte, 8)...)             // sequence number and port
	request = append(request, unix.AF_UNIX, 0, 0, 0)          // family, protocol
	request = order.AppendUint32(request, 0)                  // states
	request = order.AppendUint32(request, uint32(st.Ino))     // of the socket, not of its file
	request = order.AppendUint32(request, showVFS)            // what is asked for
	request = order.AppendUint32(request, uint32(cookie))     // the lower half first,
	request = order.AppendUint32(request, uint32(cookie>>32)) // on any system
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, os.NewSyscallError("sendto", err)
	}
	reply := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, reply, 0)
	if err != nil {
		return 0, os.NewSyscallError("recvfrom", err)
	}
	reply = reply[:n]
	switch {
	case n < replySize:
		return 0, fmt.Errorf("sock_diag: %w", unix.EPROTO)
	case order.Uint16(reply[4:]) == unix.NLMSG_ERROR:
		return 0, os.NewSyscallError("sock_diag", unix.Errno(-int32(order.Uint32(reply[unix.SizeofNlMsghdr:]))))
	}
	for rest := reply[replySize:]; len(rest) >= unix.SizeofNlAttr; {
		size, kind := int(order.Uint16(rest)), order.Uint16(rest[2:])
		if size < unix.SizeofNlAttr || size > len(rest) {
			break
		}
		if kind == typeVFS && size >= unix.SizeofNlAttr+8 {
			return order.Uint32(rest[unix.SizeofNlAttr:]), nil
		}
		rest = rest[min((size+3)&^3, len(rest)):]
	}
	return 0, fmt.Errorf("sock_diag: %w", unix.ENOENT)
}
