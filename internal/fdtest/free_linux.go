package fdtest

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// WithFree calls f while this process can open n more descriptors, and no others.
func WithFree(n int, f func()) {
	wakePoller() // which has descriptors of its own
	var old unix.Rlimit
	must(unix.Getrlimit(unix.RLIMIT_NOFILE, &old))
	low, free := old, []int{}
	for range n + 1 {
		fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
		must(err)
		free = append(free, fd)
		low.Cur = uint64(fd) // the lowest descriptor that cannot be opened
	}
	for _, fd := range free {
		must(unix.Close(fd))
	}
	must(unix.Setrlimit(unix.RLIMIT_NOFILE, &low))
	defer func() { must(unix.Setrlimit(unix.RLIMIT_NOFILE, &old)) }()
	f()
}

func must(err error) {
	if err != nil {
		panic(fmt.Sprint("fdtest: ", err))
	}
}
