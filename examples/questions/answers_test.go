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
)

func Example_refusal() {
	ends := func(expect *scm.Expect) (server, client *scm.Conn) {
		server, c, err := scm.Pair("unixpacket")
		must(err)
		config := scm.Config{Expect: expect}
		client, err = config.NewConn(c.UnixConn)
		must(err)
		return server, client
	}
	for _, expect := range []*scm.Expect{nil, {Min: 1, Max: 1}, {Max: 1, Kind: scm.KindDirectory}} {
		server, client := ends(expect)
		defer server.Close()
		defer client.Close()
		if expect != nil && expect.Min == 0 {
			_, err := server.WriteFiles([]byte("a file"), os.Stdin)
			must(err)
		} else {
			_, err := server.Write([]byte("no such file"))
			must(err)
		}
		answer := make([]byte, 256)
		n, files, err := client.ReadFiles(answer, 1)
		if err == nil && len(files) == 0 {
			err = fmt.Errorf("the server refused: %q", answer[:n])
		}
		wrong := (*scm.ExpectError)(nil)
		if !errors.As(err, &wrong) {
			fmt.Println(err)
			continue
		}
		fmt.Printf("%v: %q\n", wrong.Index, answer[:n])
	}

	server, client := ends(nil)
	defer server.Close()
	defer client.Close()
	_, err := server.Write([]byte("no such file"))
	must(err)
	_, err = client.RecvFile()
	fmt.Println(errors.Is(err, scm.ErrNoFile))
	// Output:
	// the server refused: "no such file"
	// -1: "no such file"
	// 0: "a file"
	// true
}

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
		program.OK(t, err)
		master := program.Must(scm.NewFile(fd, "terminal"))
		for range 2 {
			terminal := program.Must(os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|unix.O_NOCTTY, 0))
			_, err = terminal.WriteString("text")
			program.OK(t, errors.Join(err, terminal.Close()))
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
