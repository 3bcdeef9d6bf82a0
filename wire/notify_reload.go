package wire

import (
	"fmt"
	"os"
)

// NotifyReady notifies the service manager that the service has started, or that a reload has ended
// (READY=1).
func NotifyReady(sock Socket) error { return Notify.Send(sock, "READY=1") }

// NotifyReloading notifies the service manager that the service reloads (RELOADING=1 and, on Linux,
// MONOTONIC_USEC). Call [NotifyReady] when the reload has ended, even if it has failed, because until then
// systemd does not start another one. In a unit with Type=notify-reload, handle the signal that reloads
// the service before the first call to NotifyReady.
func NotifyReloading(sock Socket) error {
	now, err := monotonic()
	if err != nil {
		return theNotify.named(err)
	}
	return Notify.Send(sock, "RELOADING=1"+now)
}

// NotifyMain notifies the service manager that the process pid is now the service's main process. pidfd is
// its descriptor, from pidfd_open(2) or [scm.PeerPIDFD], or -1. The caller still owns it. If pid is not
// positive or pidfd is less than -1, the error wraps [os.ErrInvalid].
//
// systemd requires a process in the service's control group, unless root sends the message. Before the
// calling process exits, it must call [NotifyBarrier], or systemd kills the whole service.
func NotifyMain(sock Socket, pid, pidfd int) error {
	switch {
	case pid <= 0 || pidfd < -1:
		return theNotify.named(fmt.Errorf("process %d with the pidfd %d: %w", pid, pidfd, os.ErrInvalid))
	case pidfd == -1:
		return Notify.Send(sock, fmt.Sprintf("MAINPID=%d", pid))
	}
	return Notify.Send(sock, fmt.Sprintf("MAINPID=%d\nMAINPIDFD=1", pid), pidfd)
}
