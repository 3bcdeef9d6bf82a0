package raw

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// IOURing creates an io_uring with one entry.
func IOURing() (int, error) {
	var params [120]byte // struct io_uring_params
	n, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params)), 0)
	return result(n, errno)
}

// UserFaultFD creates a userfaultfd that handles faults in user mode only.
func UserFaultFD() (int, error) {
	const userModeOnly = 1
	n, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC|userModeOnly, 0, 0)
	return result(n, errno)
}

// MessageQueue creates a POSIX message queue and removes its name. The queue has a capacity of
// one message of one byte, because RLIMIT_MSGQUEUE limits the total size of all queues of a user.
func MessageQueue(name string) (int, error) {
	attr := [8]int{1: 1, 2: 1} // struct mq_attr: mq_maxmsg, mq_msgsize
	p, err := unix.BytePtrFromString(name)
	if err != nil {
		return -1, err
	}
	const flags = unix.O_RDWR | unix.O_CREAT | unix.O_CLOEXEC | unix.O_NONBLOCK
	n, _, errno := unix.Syscall6(unix.SYS_MQ_OPEN,
		uintptr(unsafe.Pointer(p)), flags, 0o600, uintptr(unsafe.Pointer(&attr)), 0, 0)
	if errno == 0 {
		_, _, _ = unix.Syscall(unix.SYS_MQ_UNLINK, uintptr(unsafe.Pointer(p)), 0, 0) // it exists: it was just created
	}
	return result(n, errno)
}

// Landlock creates a Landlock ruleset that controls writing to files.
func Landlock() (int, error) {
	attr := struct{ fs uint64 }{unix.LANDLOCK_ACCESS_FS_WRITE_FILE}
	n, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	return result(n, errno)
}

// BPFMap creates a map with one entry.
func BPFMap() (int, error) {
	attr := struct{ kind, keySize, valueSize, entries uint32 }{unix.BPF_MAP_TYPE_ARRAY, 4, 4, 1}
	n, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_MAP_CREATE, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	return result(n, errno)
}

// DMABuf creates a DMA buffer of one page from a memfd, using udmabuf.
func DMABuf() (int, error) {
	device, err := unix.Open("/dev/udmabuf", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(device)
	mem, err := unix.MemfdCreate("scm-interop", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, err
	}
	defer unix.Close(mem)
	page := unix.Getpagesize()
	if err := unix.Ftruncate(mem, int64(page)); err != nil {
		return -1, err
	}
	if _, err := unix.FcntlInt(uintptr(mem), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK); err != nil {
		return -1, err
	}
	create := struct {
		mem, flags   uint32
		offset, size uint64
	}{uint32(mem), unix.O_CLOEXEC & 1, 0, uint64(page)}
	// UDMABUF_CREATE of linux/udmabuf.h. On PowerPC and MIPS, other bits say that the call writes to the kernel.
	// TIOCSPTLCK does so too.
	const request = unix.TIOCSPTLCK&^0x0fffffff | unsafe.Sizeof(create)<<16 | 'u'<<8 | 0x42
	n, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(device), request, uintptr(unsafe.Pointer(&create)))
	return result(n, errno)
}

// MemfdSecret creates an in-memory file whose content even the kernel cannot read.
func MemfdSecret() (int, error) {
	const trap = 447 // SYS_MEMFD_SECRET, the same on all architectures that have it
	n, _, errno := unix.Syscall(trap, unix.O_CLOEXEC, 0, 0)
	return result(n, errno)
}
