package wire

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// monotonic returns a line with the time of CLOCK_MONOTONIC.
func monotonic() (line string, err error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return "", os.NewSyscallError("clock_gettime", err)
	}
	return fmt.Sprintf("\nMONOTONIC_USEC=%d", now.Nano()/1000), nil
}
