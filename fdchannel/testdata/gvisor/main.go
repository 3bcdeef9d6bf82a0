// Command gvisor uses the whole API of gVisor's pkg/fdchannel and prints the result of each call.
package main

import (
	"fmt"
	"runtime"
	"sync"
	"syscall"

	"gvisor.dev/gvisor/pkg/fdchannel"
)

func main() {
	// The test compares the system calls of one thread.
	runtime.LockOSThread()
	socks, err := fdchannel.NewConnectedSockets()
	if err != nil {
		panic(err)
	}
	a := fdchannel.NewEndpoint(socks[0])
	var b fdchannel.Endpoint
	b.Init(socks[1])

	fd, err := b.RecvFDNonblock()
	report("nothing there", fd, err)
	for range 2 {
		report("send", 0, a.SendFD(2))
		fd, err = b.RecvFD()
		report("receive", fd, err)
		shut(fd)
		report("send back", 0, b.SendFD(2))
		fd, err = a.RecvFDNonblock()
		report("receive without waiting", fd, err)
		shut(fd)
	}
	report("send what is not open", 0, a.SendFD(-1))

	report("send before the end", 0, a.SendFD(2))
	a.Shutdown()
	report("send after the end", 0, a.SendFD(2))
	report("send to the end", 0, b.SendFD(2))
	fd, err = b.RecvFD()
	report("receive what was sent before", fd, err)
	shut(fd)
	fd, err = b.RecvFD()
	report("receive after the end", fd, err)
	fd, err = a.RecvFDNonblock()
	report("receive after the end without waiting", fd, err)
	a.Destroy()
	b.Destroy()

	waiting()
}

// waiting shuts down a channel on which two goroutines receive.
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
				panic("received a descriptor that was not sent")
			}
		}()
	}
	a.Shutdown()
	wg.Wait()
	a.Destroy()
	b.Destroy()
	fmt.Println("all receives have returned")
}

// report prints the result of a call, without the descriptor.
func report(what string, fd int, err error) {
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
