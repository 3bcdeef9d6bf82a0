package wire

import (
	"fmt"
	"os"
)

// NotifyReady notifies the service manager that the service has started, or that a reload has ended (READY=1).
// sock is the result of DialNotify. Errors are those of Notify.Send.
func NotifyReady(sock Socket) error { return Notify.Send(sock, "READY=1") }

// NotifyReloading notifies the service manager that the service reloads (RELOADING=1). Call [NotifyReady]
// when the reload has ended, also if it has failed: until then systemd does not start another one. sock is
// the result of DialNotify.
//
// On Linux, the message contains the time (MONOTONIC_USEC), which units with Type=notify-reload require.
// Install the handler of the signal that reloads the service before the first call to NotifyReady. Errors
// are those of clock_gettime(2) and Notify.Send.
func NotifyReloading(sock Socket) error {
	now, err := monotonic()
	if err != nil {
		return theNotify.named(err)
	}
	return Notify.Send(sock, "RELOADING=1"+now)
}

// NotifyMain notifies the service manager that another process is now the service's main process. pidfd is the
// process's descriptor, from pidfd_open(2) or [scm.PeerPIDFD], or -1 without one. The caller still owns
// it. sock is the result of DialNotify.
//
// With a pidfd, the message contains MAINPID=, MAINPIDFD=1 and the descriptor. systemd 257 and later uses
// the descriptor, and earlier versions use MAINPID. Without a pidfd, the message contains only MAINPID=.
//
// systemd rejects a process outside the service's control group, unless root sends the message. If the
// calling process is about to exit, it must call [NotifyBarrier] first. Otherwise systemd notices the exit
// before it reads the message, and kills all processes of the service.
//
// If pid is not positive or pidfd is less than -1, the error wraps [os.ErrInvalid], and nothing is sent.
// Other errors are those of Notify.Send.
func NotifyMain(sock Socket, pid, pidfd int) error {
	switch {
	case pid <= 0 || pidfd < -1:
		return theNotify.named(fmt.Errorf("process %d with the pidfd %d: %w", pid, pidfd, os.ErrInvalid))
	case pidfd == -1:
		return Notify.Send(sock, fmt.Sprintf("MAINPID=%d", pid))
	}
	return Notify.Send(sock, fmt.Sprintf("MAINPID=%d\nMAINPIDFD=1", pid), pidfd)
}
