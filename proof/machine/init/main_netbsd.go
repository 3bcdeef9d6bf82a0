package main

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/proof/must"
)

// self is the path of this program. The kernel starts it from there.
const self = "/sbin/init"

// prepare opens the console, and mounts what programs write to.
func prepare() {
	console, err := unix.Open("/dev/console", unix.O_RDWR, 0)
	for fd := range 3 {
		if err == nil {
			err = unix.Dup2(console, fd)
		}
	}
	tmpfs := struct { // struct tmpfs_args
		version        int32
		nodes          uint64
		size           int64
		uid, gid, mode uint32
	}{version: 1, mode: 0o1777}
	for _, dir := range []string{"/tmp", "/out"} {
		if err := mount("tmpfs", dir, unsafe.Pointer(&tmpfs), unsafe.Sizeof(tmpfs)); err != nil {
			fmt.Println("mount", dir, err)
		}
	}
	firstSocket()
}

func mount(kind, dir string, args unsafe.Pointer, size uintptr) error {
	k, d := must.Get(unix.BytePtrFromString(kind)), must.Get(unix.BytePtrFromString(dir))
	_, _, errno := unix.Syscall6(unix.SYS_MOUNT, uintptr(unsafe.Pointer(k)), uintptr(unsafe.Pointer(d)), 0, uintptr(args), size, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// firstSocket uses up the inode number 0, for which the kernel chooses another number at each fstat(2).
func firstSocket() {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	for _, fd := range pair {
		if err == nil {
			err = unix.Fstat(fd, new(unix.Stat_t))
		}
		_ = unix.Close(fd)
	}
}

// loopback gives the network interface lo0 its address, and brings it up.
func loopback() {
	sock := must.Get(unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0))
	defer unix.Close(sock)
	type address struct { // struct sockaddr_in
		size, family byte
		port         uint16
		ip           [4]byte
		_            [8]byte
	}
	alias := struct { // struct ifaliasreq
		name               [16]byte
		local, other, mask address
	}{local: address{16, unix.AF_INET, 0, [4]byte{127, 0, 0, 1}, [8]byte{}}, mask: address{16, unix.AF_INET, 0, [4]byte{255}, [8]byte{}}}
	up := struct { // struct ifreq
		name  [16]byte
		flags uint16
		_     [126]byte
	}{flags: unix.IFF_UP}
	copy(alias.name[:], "lo0")
	copy(up.name[:], "lo0")
	for request, p := range map[uintptr]unsafe.Pointer{unix.SIOCAIFADDR: unsafe.Pointer(&alias), unix.SIOCSIFFLAGS: unsafe.Pointer(&up)} {
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(sock), request, uintptr(p)); errno != 0 {
			must.OK(errno)
		}
	}
}

// off restarts the machine, which ends QEMU (-no-reboot).
func off() {
	_, _, errno := unix.Syscall(unix.SYS_REBOOT, 0, 0, 0)
	fmt.Println(errno)
}
