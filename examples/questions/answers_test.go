//go:build linux

package questions

import (
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/examples/internal/program"
	"github.com/scm-rights/scm/internal/fdtest"
)

// readTerminal returns what is written to a terminal until the last process closes it.
func readTerminal(master *os.File) ([]byte, error) {
	text, err := io.ReadAll(master)
	if errors.Is(err, unix.EIO) {
		err = nil
	}
	return text, err
}

// The end is the same for a blocking master. Afterwards another process can open the terminal.
func TestEndOfTerminal(t *testing.T) {
	for _, nonblocking := range []bool{false, true} {
		fd := program.Must(unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0))
		number, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
		err = errors.Join(err, unix.SetNonblock(fd, nonblocking), unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
		fdtest.Must(t, err)
		master := program.Must(scm.NewFile(fd, "terminal"))
		for range 2 {
			terminal := program.Must(os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|unix.O_NOCTTY, 0))
			_, err = terminal.WriteString("text")
			fdtest.Must(t, errors.Join(err, terminal.Close()))
			if text, err := readTerminal(master); err != nil || string(text) != "text" {
				t.Errorf("nonblocking: %v: %q, %v", nonblocking, text, err)
			}
		}
		if _, err := master.Read(make([]byte, 1)); !errors.Is(err, unix.EIO) {
			t.Errorf("a read after the last terminal was closed: %v, want EIO", err)
		}
		_ = master.Close()
	}
}
