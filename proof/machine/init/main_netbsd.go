package main

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/proof/must"
)

// self is the path of this program. The kernel starts it from there.
const self = "/sbin/init"

// prepare opens the console, and mounts what programs write to.
func prepare() {
	console, _ := unix.Open("/dev/console", unix.O_RDWR, 0) // without a console, nothing can be reported
	for fd := range 3 {
		_ = unix.Dup2(console, fd)
	}
	args := [40]byte{0: 1, 32: 0o377, 0o3} // struct tmpfs_args: version 1, and mode 1777
	for _, dir := range []string{"/tmp", "/out"} {
		kind, path := must.Get(unix.BytePtrFromString("tmpfs")), must.Get(unix.BytePtrFromString(dir))
		_, _, errno := unix.Syscall6(unix.SYS_MOUNT, uintptr(unsafe.Pointer(kind)), uintptr(unsafe.Pointer(path)), 0,
			uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args), 0)
		if errno != 0 {
			fmt.Println("mount", dir, errno)
		}
	}
	// The first Unix socket has the inode number 0, for which the kernel chooses another at each fstat(2).
	if pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0); err == nil {
		_ = errors.Join(unix.Fstat(pair[0], new(unix.Stat_t)), unix.Fstat(pair[1], new(unix.Stat_t)), unix.Close(pair[0]), unix.Close(pair[1]))
	}
}

// loopback gives the network interface lo0 an address, and brings it up.
func loopback() {
	sock := must.Get(unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0))
	defer unix.Close(sock)
	address := [64]byte{16: 16, unix.AF_INET, 0, 0, 127, 0, 0, 1, 48: 16, unix.AF_INET, 0, 0, 255} // struct ifaliasreq
	flags := [144]byte{16: unix.IFF_UP | unix.IFF_LOOPBACK}                                        // struct ifreq
	ioctl := func(request uintptr, p unsafe.Pointer) {
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(sock), request, uintptr(p)); errno != 0 {
			must.OK(errno)
		}
	}
	copy(address[:], "lo0")
	copy(flags[:], "lo0")
	ioctl(unix.SIOCAIFADDR, unsafe.Pointer(&address))
	ioctl(unix.SIOCSIFFLAGS, unsafe.Pointer(&flags))
}

// off restarts the machine, which ends QEMU (-no-reboot).
func off() {
	_, _, errno := unix.Syscall(unix.SYS_REBOOT, 0, 0, 0)
	fmt.Println(errno)
}
