package sys

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// HasLongPaths reports whether Folder.Name is a short name for any folder: a path that is
// longer than sun_path is then reached by it.
const HasLongPaths = true

// FileInfo is what stat(2) returned of a file.
type FileInfo struct {
	dev, ino  uint64
	mode, uid uint32
}

func infoOf(st *unix.Stat_t) FileInfo {
	return FileInfo{uint64(st.Dev), st.Ino, st.Mode, st.Uid}
}

func (i FileInfo) Same(other FileInfo) bool { return i.dev == other.dev && i.ino == other.ino }
func (i FileInfo) IsSocket() bool           { return i.mode&unix.S_IFMT == unix.S_IFSOCK }
func (i FileInfo) Perm() fs.FileMode        { return fs.FileMode(i.mode & 0o777) }

// A Folder is an open folder (O_PATH). Its methods follow no link.
type Folder struct {
	fd   int
	Info FileInfo
}

// OpenFolder opens a folder; the caller closes it.
func OpenFolder(path string) (f Folder, err error) {
	f.fd, f.Info, err = openPath(unix.AT_FDCWD, path, unix.O_DIRECTORY)
	return f, err
}

// InFolder calls f with a folder. If no descriptor is free, the folder is the working
// folder of a thread of its own.
func InFolder(path string, f func(Folder) error) error {
	if path == "" {
		path = "."
	}
	at, err := OpenFolder(path)
	if err == nil {
		defer at.Close()
		return f(at)
	}
	failed := &os.PathError{Op: "open", Path: path, Err: err}
	if !TableFull(err) {
		return failed
	}
	onThread(func() {
		var st unix.Stat_t
		if unix.Unshare(unix.CLONE_FS) != nil || unix.Chdir(path) != nil || unix.Stat(".", &st) != nil {
			err = failed
			return
		}
		err = f(Folder{unix.AT_FDCWD, infoOf(&st)})
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
func openPath(at int, path string, flags int) (fd int, info FileInfo, err error) {
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
		Close(fd)
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

// Close closes the folder.
func (f Folder) Close() { Close(f.fd) }

// Name returns a path to a file of the folder, wherever the folder is by now.
func (f Folder) Name(base string) string { return numberName(f.fd) + "/" + base }

// Look returns what kind of file base is.
func (f Folder) Look(base string) (FileInfo, error) {
	var st unix.Stat_t
	err := uninterrupted(func() error { return unix.Fstatat(f.fd, base, &st, unix.AT_SYMLINK_NOFOLLOW) })
	return infoOf(&st), os.NewSyscallError("fstatat", err)
}

// Remove removes a file.
func (f Folder) Remove(base string) error {
	err := uninterrupted(func() error { return unix.Unlinkat(f.fd, base, 0) })
	return os.NewSyscallError("unlinkat", err)
}

// Rename renames a file, and replaces another one.
func (f Folder) Rename(from, to string) error {
	err := uninterrupted(func() error { return unix.Renameat(f.fd, from, f.fd, to) })
	return os.NewSyscallError("renameat", err)
}

// Settle waits until each bind(2) that has made a file in the folder is over: on Linux 5.14
// and later bind holds the folder locked until connect(2) finds the socket. A rename of base to
// itself waits for that lock, and changes nothing. Where it is refused, Settle does not wait.
func (f Folder) Settle(base string) {
	_ = uninterrupted(func() error { return unix.Renameat2(f.fd, base, f.fd, base, 0) })
}

// PutBack is Rename, but replaces nothing.
func (f Folder) PutBack(from, to string) error {
	err := uninterrupted(func() error { return unix.Renameat2(f.fd, from, f.fd, to, unix.RENAME_NOREPLACE) })
	if err != unix.EINVAL && err != unix.ENOSYS {
		return os.NewSyscallError("renameat2", err)
	}
	// Not every file system knows it.
	if err := unix.Linkat(f.fd, from, f.fd, to, 0); err != nil {
		return os.NewSyscallError("linkat", err)
	}
	return f.Remove(from)
}

// Lockable opens the folder for Lock, for which it must be readable.
func (f Folder) Lockable() (fd int, err error) {
	err = uninterrupted(func() (err error) {
		fd, err = unix.Openat(f.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		return err
	})
	return fd, os.NewSyscallError("openat", err)
}

// HeldFile is a file of a folder. As long as it is held, no other file can have
// its inode's number.
type HeldFile struct {
	fd   int
	Info FileInfo
}

// Hold holds a file, whatever kind of file it is.
func (f Folder) Hold(base string) (h HeldFile, err error) {
	h.fd, h.Info, err = openPath(f.fd, base, unix.O_NOFOLLOW)
	if err != nil {
		return h, &os.PathError{Op: "open", Path: base, Err: err}
	}
	return h, nil
}

// Close ends the hold.
func (h HeldFile) Close() { Close(h.fd) }

// Connect connects sock to the file that is held, whatever is at its path by now.
// Where it cannot, it calls byPath.
func (h HeldFile) Connect(sock int, byPath func() error) error {
	err := Connect(sock, numberName(h.fd))
	if errors.Is(err, unix.ENOENT) { // there is no /proc
		return byPath()
	}
	return err
}

// OnlyHere returns an error if the file is of a file system that another system or mount can
// have too: a connect to a live socket there can fail with ECONNREFUSED.
func (h HeldFile) OnlyHere() error {
	var st unix.Statfs_t
	if err := uninterrupted(func() error { return unix.Fstatfs(h.fd, &st) }); err != nil {
		return os.NewSyscallError("fstatfs", err)
	}
	switch uint32(st.Type) {
	case unix.FUSE_SUPER_MAGIC, // virtiofs's too
		unix.NFS_SUPER_MAGIC, unix.V9FS_MAGIC, unix.CEPH_SUPER_MAGIC,
		unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC,
		unix.AFS_SUPER_MAGIC, unix.AFS_FS_MAGIC, unix.CODA_SUPER_MAGIC,
		unix.OCFS2_SUPER_MAGIC, unix.ECRYPTFS_SUPER_MAGIC:
		return fmt.Errorf("its file system (type %#x) does not tell a live socket from a stale one: remove the file if it is stale", uint32(st.Type))
	}
	return nil
}

// Verify returns an error unless the socket file of info is the one that sock was just
// bound to: ErrReplaced, or ErrUnverified where the kernel does not say. way is the path by
// which both the folder was opened and sock was bound: others could have made it lead
// elsewhere in between. If it is "" Verify does not look at it.
func (f Folder) Verify(sock int, info FileInfo, way string) error {
	if f.isOursAlone(info, way) {
		return nil
	}
	inode, err := boundInode(sock)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnverified, err)
	}
	if inode != uint32(info.ino) {
		return ErrReplaced
	}
	return nil
}

// Chmod gives the socket file of info the permissions that the umask took from it, and
// no other file.
func (f Folder) Chmod(base string, info FileInfo, mode fs.FileMode) error {
	h, err := f.Hold(base)
	if err != nil {
		return err
	}
	defer h.Close()
	if !h.Info.Same(info) {
		return ErrReplaced
	}
	err = uninterrupted(func() error { return unix.Chmod(numberName(h.fd), uint32(mode)) })
	if err == unix.ENOENT { // there is no /proc
		err = uninterrupted(func() error { return unix.Fchmodat(h.fd, "", uint32(mode), unix.AT_EMPTY_PATH) })
	}
	return os.NewSyscallError("chmod", err)
}

// isOursAlone reports whether the file of info belongs to this user, and nobody but
// this user and root can put another one in its place, or change where way leads. For
// the overflow user, who can be anybody, it reports false. The user is the effective one:
// seccomp filters refuse setfsuid(2), which alone reports a thread's user of
// the file system. A file that belongs to that one is not ours alone.
func (f Folder) isOursAlone(info FileInfo, way string) bool {
	user := uint32(unix.Geteuid())
	return info.uid == user && f.Info.onlyFor(user) && leadsOnlyFor(user, way) && user != overflowUser
}

// overflowUser is the user as whom a user namespace shows each user whom it does not map,
// unless the system's administrator chose another (/proc/sys/kernel/overflowuid). A process
// that is this user itself cannot tell its files from theirs.
const overflowUser = 65534

// onlyFor reports whether nobody but the user and root can replace what they have in the
// folder of i; of a link, whether it is theirs.
func (i FileInfo) onlyFor(user uint32) bool {
	writable := i.mode&unix.S_IFMT != unix.S_IFLNK && i.mode&0o022 != 0 && i.mode&unix.S_ISVTX == 0
	return !writable && (i.uid == 0 || i.uid == user)
}

// leadsOnlyFor reports whether nobody but the user and root can change where a path leads:
// each folder and each link on the way is theirs, also behind links.
func leadsOnlyFor(user uint32, way string) bool {
	const most = 1000 // names and links: links can go round
	if way == "" {
		return true
	}
	at := "."
	if way[0] != '/' {
		way = "./" + way
	}
	for range most {
		if way != "" && way[0] == '/' {
			at, way = "/", "."+way
		}
		name, rest, _ := strings.Cut(way, "/")
		next := at + "/" + name // or at itself
		var st unix.Stat_t
		if uninterrupted(func() error { return unix.Lstat(next, &st) }) != nil || !infoOf(&st).onlyFor(user) {
			return false
		}
		switch {
		case st.Mode&unix.S_IFMT == unix.S_IFLNK:
			target, err := os.Readlink(next)
			if err != nil {
				return false
			}
			way = target + "/" + rest
		case name == "":
			return true
		default:
			at, way = next, strings.TrimLeft(rest, "/")
		}
	}
	return false
}

// boundInode asks the kernel (sock_diag(7)) for the number of the inode to whose file
// a socket is bound. It has the lower 32 bits of it. That of the file's device is no
// help: Btrfs and overlayfs show another one to stat(2).
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
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|openFlags(true), unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	defer Close(fd)
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
