// Command gvisor uses the whole API of gVisor's pkg/fdchannel. It prints what
// each call returned, or with the argument echo sends back what comes by the
// socket 3 until the end.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"

	"gvisor.dev/gvisor/pkg/fdchannel"
)

func main() {
	// What is traced is one thread's.
	runtime.LockOSThread()
	if len(os.Args) > 1 && os.Args[1] == "echo" {
		echo()
		return
	}
	socks, err := fdchannel.NewConnectedSockets()
	if err != nil {
		panic(err)
	}
	a := fdchannel.NewEndpoint(socks[0])
	var b fdchannel.Endpoint
	b.Init(socks[1])

	fd, err := b.RecvFDNonblock()
	tell("nothing there", fd, err)
	for range 2 {
		tell("send", 0, a.SendFD(2))
		fd, err = b.RecvFD()
		tell("receive", fd, err)
		shut(fd)
		tell("send back", 0, b.SendFD(2))
		fd, err = a.RecvFDNonblock()
		tell("receive without waiting", fd, err)
		shut(fd)
	}
	tell("send what is not open", 0, a.SendFD(-1))

	tell("send before the end", 0, a.SendFD(2))
	a.Shutdown()
	tell("send after the end", 0, a.SendFD(2))
	tell("send to the end", 0, b.SendFD(2))
	fd, err = b.RecvFD()
	tell("receive what was sent before", fd, err)
	shut(fd)
	fd, err = b.RecvFD()
	tell("receive after the end", fd, err)
	fd, err = a.RecvFDNonblock()
	tell("receive after the end without waiting", fd, err)
	a.Destroy()
	b.Destroy()

	waiting()
}

// waiting is a receive that another goroutine ends.
func waiting() {
	socks, err := fdchannel.NewConnectedSockets()
	if err != nil {
		panic(err)
	}
	a, b := fdchannel.NewEndpoint(socks[0]), fdchannel.NewEndpoint(socks[1])
	var wg sync.WaitGroup
	for _, ep := range []*fdchannel.Endpoint{a, b} {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if _, err := ep.RecvFD(); err == nil {
				panic("a descriptor that nobody sent")
			}
		}()
	}
	a.Shutdown()
	wg.Wait()
	a.Destroy()
	b.Destroy()
	fmt.Println("no one waits any more")
}

// tell prints what a call returned, without its numbers.
func tell(what string, fd int, err error) {
	switch {
	case err == syscall.EAGAIN:
		fmt.Println(what, "EAGAIN", fd)
	case err == syscall.EPIPE:
		fmt.Println(what, "EPIPE")
	case err == syscall.EBADF:
		fmt.Println(what, "EBADF")
	case err != nil:
		fmt.Println(what, "another error", fd)
	default:
		fmt.Println(what, "done", fd >= 0)
	}
}

func shut(fd int) {
	if err := syscall.Close(fd); err != nil {
		panic(err)
	}
}

func echo() {
	ep := fdchannel.NewEndpoint(3)
	for {
		fd, err := ep.RecvFD()
		if err != nil {
			ep.Destroy()
			return
		}
		if err := ep.SendFD(fd); err != nil {
			panic(err)
		}
		shut(fd)
	}
}
