package reference

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// No call tells the kernel of more room than there is, or makes more than any kernel takes.
func TestRoomHasALimit(t *testing.T) {
	two, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(two[1])
	const large = "@67108864"
	lines := []string{
		fmt.Sprintf("use sock=%d fds=-", two[0]),
		"recvmsg bytes=1 control=0 controllen=4096 flags=dontwait", "recvmsg bytes=1 control=24 controllen=25 flags=dontwait", "recvmsg bytes=1 control=0 controllen=0-1 flags=dontwait",
		"sendmsg payload=00 control=creds() controllen=4096", "recvmsg bytes=1 control=edge(0x7fffffff) flags=dontwait", "recvmsg bytes=1 control=edge(0-5) fill=hex(00) flags=dontwait",
		"recvmmsg bytes=1 control=0x7fffffff flags=dontwait", "recvmmsg bytes=1 control=0-1 flags=dontwait",
		"recvmmsg bytes=67108864|67108864 flags=dontwait", "sendmmsg payload=" + large + "|" + large, "sendmmsg payload=00|00 control=4194304*cmsg(9,9,-)|4194304*cmsg(9,9,-)",
		"recvmsg bytes=1 control=bad fill=hex(00) flags=dontwait", "recvmsg bytes=1 control=24 controllen=23 flags=dontwait", "end",
	}
	want := []string{
		"ok",
		"err lib controllen=4096", "err lib controllen=25", "err lib controllen=0-1",
		"err lib controllen=4096", "err lib control=edge(0x7fffffff)", "err lib control=edge(0-5)",
		"err lib control=0x7fffffff", "err lib control=0-1",
		"err lib bytes=67108864|67108864", "err lib payload=" + large + "|" + large, "err lib control=4194304*cmsg(9,9,-)|4194304*cmsg(9,9,-)",
		"err EAGAIN", "err EAGAIN", "ok",
	}
	for i, got := range talk(t, lines...) {
		if !strings.HasPrefix(got, want[i]) {
			t.Errorf("%s: got %q, want %q", lines[i], got, want[i])
		}
	}
}

// A scenario sends no signal to the runner, whose child the runner's side is.
func TestNoSignalToTheRunner(t *testing.T) {
	fd, err := unix.PidfdOpen(unix.Getppid(), 0)
	if err != nil {
		t.Skipf("no pidfd: %v", err)
	}
	defer unix.Close(fd)
	if got := talk(t, fmt.Sprintf("signal fd=%d signal=SIGUSR1", fd)); got[0] != fmt.Sprintf("err lib fd=%d", fd) {
		t.Errorf("got %q", got)
	}
}
