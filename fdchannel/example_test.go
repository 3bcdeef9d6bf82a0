//go:build linux

package fdchannel_test

import (
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/fdchannel"
)

// In this example, both ends are in one process. A real program passes the second socket to another
// process.
func Example() {
	socks, err := fdchannel.NewConnectedSockets()
	if err != nil {
		fmt.Println(err)
		return
	}
	a := fdchannel.NewEndpoint(socks[0])
	defer a.Destroy()
	var b fdchannel.Endpoint // usually a field of a struct
	b.Init(socks[1])
	defer b.Destroy()

	if _, err := b.RecvFDNonblock(); err == syscall.EAGAIN {
		fmt.Println("nothing yet")
	}

	r, w, err := os.Pipe()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = w.Close() }()
	if err := a.SendFD(int(r.Fd())); err != nil {
		fmt.Println(err)
		return
	}
	_ = r.Close() // the message keeps the pipe open

	fd, err := b.RecvFD()
	if err != nil {
		fmt.Println(err)
		return
	}
	received, err := scm.NewFile(fd, "received")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = received.Close() }()
	fmt.Fprintln(w, "through the pipe")
	text := make([]byte, 16)
	_, _ = io.ReadFull(received, text)
	fmt.Printf("%s\n", text)

	b.Shutdown()
	fmt.Println(a.SendFD(1))
	// Output:
	// nothing yet
	// through the pipe
	// broken pipe
}
