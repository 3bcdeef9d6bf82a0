package sys

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"
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

// SamePlace reports whether a directory is, as far as the kernel tells, the one in which a Unix socket created its
// file, even if that file has been removed. In a container or another root, its path may lead to another file system,
// or to another part of the same one.
func SamePlace(fd int, dir string) bool {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, dir, 0, unix.STATX_MNT_ID, &st); err != nil {
		return false
	}
	mounts, _ := os.ReadFile("/proc/thread-self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		f := strings.SplitN(line, " ", 6)
		if len(f) == 6 && f[0] == strconv.FormatUint(st.Mnt_id, 10) {
			device, root, at := f[2], f[3], f[4] // systemd mounts a RuntimeDirectory at its own place
			return device == boundDevice(fd) && (root == "/" || strings.HasSuffix(at, root))
		}
	}
	return false
}

// boundDevice returns the device of the file that a Unix socket has created, as MAJOR:MINOR, or "". It asks
// sock_diag(7), which finds only sockets of the caller's network namespace.
func boundDevice(fd int) string {
	diag, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return ""
	}
	defer func() { _ = unix.Close(diag) }()
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return ""
	}
	type request struct { // struct unix_diag_req
		unix.NlMsghdr
		Family, Protocol    uint8
		_                   uint16
		States, Inode, Show uint32
		Cookie              [2]uint32
	}
	type answer struct {
		unix.NlMsghdr
		_ [16]byte // struct unix_diag_msg
		unix.RtAttr
		Inode, Device uint32 // struct unix_diag_vfs
	}
	const showVFS, vfs, minorBits = 2, 1, 20 // UDIAG_SHOW_VFS, UNIX_DIAG_VFS, MINORBITS
	ask := request{Family: unix.AF_UNIX, States: math.MaxUint32, Inode: uint32(st.Ino), Show: showVFS}
	ask.NlMsghdr = unix.NlMsghdr{Len: uint32(binary.Size(ask)), Type: unix.SOCK_DIAG_BY_FAMILY, Flags: unix.NLM_F_REQUEST}
	ask.Cookie = [2]uint32{math.MaxUint32, math.MaxUint32} // any socket with this inode
	data, _ := binary.Append(nil, binary.NativeEndian, ask)
	_, _ = unix.Write(diag, data)
	data = make([]byte, os.Getpagesize())
	n, _, err := unix.Recvfrom(diag, data, unix.MSG_DONTWAIT) // the kernel has answered during the write
	var got answer
	_, short := binary.Decode(data[:max(n, 0)], binary.NativeEndian, &got)
	if err != nil || short != nil || got.NlMsghdr.Type != unix.SOCK_DIAG_BY_FAMILY || got.RtAttr.Type != vfs {
		return ""
	}
	return fmt.Sprintf("%d:%d", got.Device>>minorBits, got.Device&(1<<minorBits-1))
}
