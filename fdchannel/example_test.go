//go:build linux

package fdchannel_test

import (
	"fmt"
	"log"
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
		log.Fatal(err)
	}
	a := fdchannel.NewEndpoint(socks[0])
	defer a.Destroy()
	var b fdchannel.Endpoint // usually a field of a struct
	b.Init(socks[1])
	defer b.Destroy()

	if _, err := b.RecvFDNonblock(); err == syscall.EAGAIN {
		fmt.Println("nothing yet")
	}
	if err := a.SendFD(int(os.Stdin.Fd())); err != nil {
		log.Fatal(err)
	}
	fd, err := b.RecvFD()
	if err != nil {
		log.Fatal(err)
	}
	received, err := scm.NewFile(fd, "received")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(received.Name())
	_ = received.Close()

	b.Shutdown()
	fmt.Println(a.SendFD(1))
	// Output:
	// nothing yet
	// received
	// broken pipe
}
