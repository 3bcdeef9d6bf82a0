package sys

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// HasLongPaths reports whether a path that is longer than sun_path can be used through its directory's
// name in /proc.
const HasLongPaths = true

// MaxPath is the maximum length of a path in a system call.
const MaxPath = unix.PathMax - 1

// OpenFolder opens a directory, or the current directory for "". The file can only be used to name the
// directory.
func OpenFolder(path string) (*os.File, error) {
	if path == "" {
		path = "."
	}
	return os.OpenFile(path, unix.O_PATH|unix.O_DIRECTORY, 0)
}

// Restrict limits the permissions of the file that bind will create to mode. Linux uses the permissions of
// the socket, minus the umask.
func Restrict(fd int, mode uint32) error {
	return os.NewSyscallError("fchmod", unix.Fchmod(fd, mode))
}

// LocalName returns the name of a Unix socket as AddrName does, or known if it has none.
func LocalName(fd int, known string) string {
	var buf [unix.SizeofSockaddrAny]byte // stays zero on error
	size := uint32(len(buf))
	_, _, _ = unix.Syscall(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&buf)), uintptr(unsafe.Pointer(&size)))
	return cmp.Or(AddrName(buf[:min(size, unix.SizeofSockaddrAny)]), known)
}

// HoldFile returns information about a file without following a link. Until release is called, no other
// file can get its inode number.
func HoldFile(path string) (info fs.FileInfo, release func(), err error) {
	f, err := os.OpenFile(path, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, nil, err
	}
	if info, err = f.Stat(); err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return info, func() { _ = f.Close() }, nil
}

// ChmodSocket restores the permissions that the umask removed from the socket file of info. It changes no
// other file.
func ChmodSocket(path string, info fs.FileInfo, mode uint32) error {
	f, err := os.OpenFile(path, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	now, err := f.Stat()
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if !os.SameFile(now, info) || int(st.Uid) != unix.Geteuid() {
		return os.NewSyscallError("chmod", unix.EPERM)
	}
	fd := int(f.Fd())
	// Not /proc/self: it is the main thread, which may have ended.
	err = unix.Chmod("/proc/thread-self/fd/"+strconv.Itoa(fd), mode)
	if err != unix.ENOENT { // fd is open, so ENOENT means that /proc is not mounted
		return os.NewSyscallError("chmod", err)
	}
	// Not the first choice: some seccomp filters end a process that makes a system call that they do not know.
	if err = unix.Fchmodat(fd, "", mode, unix.AT_EMPTY_PATH); err != nil {
		return fmt.Errorf("chmod requires /proc, or fchmodat2 (Linux 6.6): %w", err)
	}
	return nil
}

// Shared reports whether a path is on a file system that another system or mount may also use, or whose
// type cannot be determined. A connect to a live socket there can fail with ECONNREFUSED.
func Shared(path string) bool {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return err != unix.ENOENT
	}
	switch uint32(st.Type) {
	case unix.FUSE_SUPER_MAGIC, // also virtiofs
		unix.NFS_SUPER_MAGIC, unix.V9FS_MAGIC, unix.CEPH_SUPER_MAGIC,
		unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC,
		unix.AFS_SUPER_MAGIC, unix.AFS_FS_MAGIC, unix.CODA_SUPER_MAGIC,
		unix.OCFS2_SUPER_MAGIC, unix.ECRYPTFS_SUPER_MAGIC:
		return true
	}
	return false
}
