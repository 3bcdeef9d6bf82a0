package sys

import (
	"cmp"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// modeFlags are the flags of open(2) that are not status flags: the access mode, O_PATH, and the file
// creation flags. O_TMPFILE includes O_DIRECTORY.
const modeFlags = unix.O_ACCMODE | unix.O_PATH | unix.O_CREAT | unix.O_EXCL | unix.O_NOCTTY | unix.O_TRUNC |
	unix.O_CLOEXEC | unix.O_NOFOLLOW | unix.O_TMPFILE

// flagNames are the status flags that have a name. O_SYNC includes O_DSYNC, and so precedes it; the rest of O_SYNC
// is what a file with O_DSYNC lacks.
var flagNames = []flagName{
	{unix.O_APPEND, "O_APPEND"}, {unix.O_NONBLOCK, "O_NONBLOCK"}, {unix.O_ASYNC, "O_ASYNC"}, {unix.O_SYNC, "O_SYNC"},
	{unix.O_SYNC &^ unix.O_DSYNC, "O_SYNC"}, {unix.O_DSYNC, "O_DSYNC"}, {unix.O_DIRECT, "O_DIRECT"}, {unix.O_NOATIME, "O_NOATIME"},
}

// familyNames are names of address families that not every system has.
var familyNames = map[int]string{
	unix.AF_NETLINK: "netlink", unix.AF_PACKET: "packet", unix.AF_VSOCK: "vsock", unix.AF_BLUETOOTH: "Bluetooth", unix.AF_CAN: "CAN",
}

// CanTell reports whether Look recognizes files of a kind and, if more is set, also seals, protocols
// and O_PATH.
func CanTell(string, bool) bool { return true }

// pathFlag is the flag of a descriptor that was opened with O_PATH.
const pathFlag = unix.O_PATH

// Identify fills in the fields that Opened leaves out. It queries the kernel, and the file itself only for
// what the kernel does not know. st_mode does not distinguish regular files from memfds, namespaces and other
// files that only the kernel creates. Their names do. If /proc is not mounted, f.Unknown is set.
func (f *File) Identify(fd int) error {
	if f.Access != "path" { // with O_PATH, only fstat and readlink work
		if err := f.askSocket(fd); err != nil || f.Kind != "" {
			return err
		}
	}
	i, err := inode(fd)
	if err != nil && !errors.Is(err, unix.EACCES) { // a FUSE file, which the kernel shows only to its user
		return err
	}
	f.Kind = kindOf(i.mode)
	typeless := err == nil && f.Kind == unknownKind // the sender can choose the name of a FUSE file
	if f.Kind != "regular" && f.Kind != unknownKind {
		return nil
	}
	sealable := false
	if f.Kind == "regular" && f.Access != "path" {
		seals, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
		if sealable = err == nil; sealable {
			f.Seals = seals
		}
	}
	if sealable && f.Seals != unix.F_SEAL_SEAL { // all other files on tmpfs and hugetlbfs have exactly this seal
		f.Kind = "memfd"
		return nil
	}

	name, err := linkOf(fd)
	if err != nil {
		f.Kind, f.Unknown = unknownKind, fmt.Errorf("its kind is known only by its name in /proc: %w", err)
	}
	kind := AnonymousKind(name, typeless)
	switch {
	case kind != "":
		f.Kind = kind
	case sealable && (err != nil || strings.HasPrefix(name, "/memfd:")): // the sender can choose such a name
		switch own, err := i.onMemfdDevice(); {
		case err != nil:
			f.Kind, f.Unknown = possibleMemfd, err
		case own:
			f.Kind, f.Unknown = "memfd", nil
		}
	case f.Kind == "regular" && i.dev == namespaceDevice():
		f.Kind = namespaceKind(fd)
	}
	return nil
}

// namespaceDevice returns the device number of all namespaces, or 0 if it cannot find out. If a namespace is bound to a
// path, as "ip netns" does it, only the device distinguishes it from a regular file.
func namespaceDevice() uint64 {
	if dev := namespaces.Load(); dev != 0 {
		return dev
	}
	var st unix.Stat_t
	if unix.Stat("/proc/thread-self/ns/mnt", &st) == nil {
		namespaces.Store(uint64(st.Dev))
	}
	return namespaces.Load()
}

var namespaces atomic.Uint64

// namespaceKind returns the kind of a namespace.
func namespaceKind(fd int) string {
	flag, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE)
	if err != nil { // with O_PATH
		return unknownKind
	}
	return cmp.Or(namespaceKinds[flag], unknownKind)
}

var namespaceKinds = map[int]string{
	unix.CLONE_NEWCGROUP: "cgroup", unix.CLONE_NEWIPC: "ipc", unix.CLONE_NEWNS: "mnt",
	unix.CLONE_NEWNET: "net", unix.CLONE_NEWPID: "pid", unix.CLONE_NEWTIME: "time",
	unix.CLONE_NEWUSER: "user", unix.CLONE_NEWUTS: "uts",
}

// memfdDevices holds the device number of memfds by page size, or by 0 for the ordinary size.
var memfdDevices sync.Map

// onMemfdDevice reports whether a file is on the same device as the memfds of this process. The kernel keeps
// memfds in file systems of its own, which cannot be mounted: a tmpfs, and a hugetlbfs for each page size.
func (i inodeInfo) onMemfdDevice() (bool, error) {
	dev, err := memfdDevice(0)
	if err == nil && i.dev != dev && int(i.blockSize) > os.Getpagesize() {
		dev, err = memfdDevice(i.blockSize)
	}
	return err == nil && i.dev == dev, err
}

// memfdDevice creates a memfd to find out its device number. If that fails, the next call tries again.
func memfdDevice(pageSize uint32) (uint64, error) {
	if dev, ok := memfdDevices.Load(pageSize); ok {
		return dev.(uint64), nil
	}
	flags := unix.MFD_CLOEXEC
	if pageSize != 0 {
		flags |= unix.MFD_HUGETLB | bits.TrailingZeros32(pageSize)<<unix.MFD_HUGE_SHIFT
	}
	fd, err := unix.MemfdCreate("", flags|unix.MFD_NOEXEC_SEAL) // the sysctl vm.memfd_noexec can require the seal
	if err == unix.EINVAL {                                     // before Linux 6.3
		fd, err = unix.MemfdCreate("", flags)
	}
	if err != nil {
		return 0, os.NewSyscallError("memfd_create", err)
	}
	defer func() { _ = unix.Close(fd) }()
	i, err := inode(fd)
	if err == nil {
		memfdDevices.Store(pageSize, i.dev)
	}
	return i.dev, err
}

// askSocket fills in the fields of a socket. It leaves f unchanged for other files.
func (f *File) askSocket(fd int) error {
	for _, q := range []struct {
		option int
		answer *int
	}{
		{unix.SO_TYPE, &f.Type}, {unix.SO_DOMAIN, &f.Family}, {unix.SO_PROTOCOL, &f.Protocol},
	} {
		value, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, q.option)
		switch {
		case err == unix.ENOTSOCK:
			return nil
		case err != nil:
			return os.NewSyscallError("getsockopt", err)
		}
		*q.answer = value
	}
	f.Kind = "socket"
	return nil
}

// linkOf returns the kernel's name for the file, or "" if the path is too long for readlink(2).
func linkOf(fd int) (string, error) {
	// Not /proc/self: a thread can have its own descriptor table.
	name, err := os.Readlink("/proc/thread-self/fd/" + strconv.Itoa(fd))
	if errors.Is(err, unix.ENAMETOOLONG) {
		return "", nil
	}
	return name, err
}

// inodeInfo is a part of what stat(2) reports.
type inodeInfo struct {
	mode      uint32
	dev, rdev uint64
	blockSize uint32
}

// inode returns what the kernel knows about a file. It does not wait for a file system if statx(2) is allowed.
func inode(fd int) (inodeInfo, error) {
	var sx unix.Statx_t
	err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, &sx)
	if err != unix.ENOSYS && err != unix.EPERM {
		dev, rdev := unix.Mkdev(sx.Dev_major, sx.Dev_minor), unix.Mkdev(sx.Rdev_major, sx.Rdev_minor)
		return inodeInfo{uint32(sx.Mode), dev, rdev, sx.Blksize}, os.NewSyscallError("statx", err)
	}
	// Some seccomp filters do not know statx. fstat can wait for a FUSE server.
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	return inodeInfo{st.Mode, uint64(st.Dev), uint64(st.Rdev), uint32(st.Blksize)}, os.NewSyscallError("fstat", err)
}

// HasPoll reports whether a file has a poll method. Without one, the runtime's poller rejects it.
// epoll_ctl(2) checks that first (EPERM), and only then whether its first argument is an epoll (EINVAL). It
// takes no lock and calls no method of the file, so it never waits. EBADF means that the descriptor was
// opened with O_PATH.
func HasPoll(fd int) bool {
	err := unix.EpollCtl(fd, unix.EPOLL_CTL_DEL, fd, nil)
	return err != unix.EPERM && err != unix.EBADF
}

// Pollable reports whether a received file that has a poll method may enter the runtime's poller. The kernel
// calls the method with the epoll locked, so if the method waits, the process stops. It can wait for a FUSE
// server, for a process that holds a lock of an epoll or of a vsock socket, or in an unknown driver. The
// methods of the files that Pollable admits never wait, except that of a terminal.
//
// The system calls that identify the file must not wait either, except for a TUN device. fstat(2) waits for a FUSE
// server, and F_GETPIPE_SZ for a partner that reads from the pipe.
func Pollable(fd int) bool {
	if family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN); err == nil {
		return isNetFamily(family) || family == unix.AF_NETLINK || family == unix.AF_PACKET
	}
	i, err := inode(fd)
	if err != nil {
		return false
	}
	switch kindOf(i.mode) {
	case "pipe":
		return true
	case "character device":
		return pollsDevice(i.rdev, fd)
	}
	// Only the kernel creates names that do not begin with a slash.
	name, err := linkOf(fd)
	if err != nil {
		return false
	}
	return neverWaits[AnonymousKind(name, false)]
}

// neverWaits reports for each known kind of anonymous file whether its poll method never waits.
var neverWaits = map[string]bool{
	"eventfd":        true,
	"pidfd":          true,
	"timerfd":        true,
	"signalfd":       true,
	"inotify":        true,
	"fanotify":       true,
	"userfaultfd":    true,
	"eventpoll":      false, // takes the epoll's lock, and asks the files in it
	"perf_event":     false, // takes the lock of a mapping
	"seccomp notify": false, // takes the filter's lock
	"bpf-map":        false, // depends on the type of map
	"io_uring":       false, // depends on the version of the kernel
	"bpf-prog":       false, // has no poll method
	"dmabuf":         false, // takes a lock of its driver
}

// pollsDevice reports whether the character device that fd refers to may enter the poller.
func pollsDevice(device uint64, fd int) bool {
	return isTerminal(device) || isInput(device) || device == tun && hasInterface(fd)
}

// isTerminal reports whether a character device is a terminal: /dev/tty, /dev/console, /dev/ptmx, or the
// master or slave of a pseudoterminal.
func isTerminal(device uint64) bool {
	major, minor := unix.Major(device), unix.Minor(device)
	return major == 5 && minor <= 2 || major == unix98PTYs
}

// unix98PTYs is UNIX98_PTY_SLAVE_MAJOR of linux/major.h.
const unix98PTYs = 136

// isInput reports whether a character device is an input device: a keyboard, a mouse or a joystick. The first 1,024
// minor numbers belong to the kernel's input drivers. The others are free, for CUSE too.
func isInput(device uint64) bool {
	const inputMajor, inputMinors = 13, 1024 // linux/major.h, drivers/input/input.c
	return unix.Major(device) == inputMajor && unix.Minor(device) < inputMinors
}

// tun is the device number of /dev/net/tun.
var tun = unix.Mkdev(10, 200)

// hasInterface reports whether a TUN or TAP device has an interface. Without one, its poll method never wakes
// a process that waits. The call waits while another process holds the RTNL lock.
func hasInterface(fd int) bool {
	var request unix.Ifreq
	return unix.IoctlIfreq(fd, unix.TUNGETIFF, &request) == nil
}

// HasNetType reports whether a file is a socket for which package net has a type.
func HasNetType(fd int) bool {
	family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	return err == nil && isNetFamily(family)
}

func isNetFamily(family int) bool {
	return family == unix.AF_UNIX || family == unix.AF_INET || family == unix.AF_INET6
}
