//go:build linux

// Command faulty is a peer to test the runner with: with --fault NAME it has one fault, and
// without it conforms.
package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/scm-rights/scm/interop/peers/go/peer"
)

// A fault is one way to be wrong. Whatever it does not have is done right.
type fault struct {
	what string
	send func(s *socket, m peer.Message) (int, error)
	recv func(s *socket, r peer.Room) (peer.Received, error)
	// What is wrong with what is asked of send or recv, or is done to what recv returns.
	message func(m *peer.Message)
	room    func(r *peer.Room)
	spoil   func(got *peer.Received)

	say  func(answer []byte) []byte // what it answers in place of the answer to a receive that went well
	done func(s *socket)            // when the socket is closed
}

// noread is a fault of nobody who answers at all.
const noread = "noread"

// faults are those of a library that sends, of one that receives, and of a program
// that answers, by their names.
func faults() map[string]fault {
	all := map[string]fault{noread: {what: "never reads a command"}}
	for _, some := range []map[string]fault{sendFaults, recvFaults, sayFaults} {
		maps.Copy(all, some)
	}
	return all
}

// forever is longer than any deadline, and no trouble if nobody ends the process.
const forever = 10 * time.Minute

func main() {
	all := faults()
	names := slices.Sorted(maps.Keys(all))
	name := flag.String("fault", "", "one of "+strings.Join(names, ", "))
	inherit := flag.Bool("inherit", false, "besides, receive without close-on-exec: a second fault beside the first")
	refuses := flag.Bool("strict", false, "conform as a library that refuses what the contract lets it refuse")
	mute := flag.Bool("no-stderr", false, "close standard error, so that a descriptor received can be 2")
	flag.Usage = func() {
		flag.PrintDefaults()
		for _, name := range names {
			fmt.Fprintf(os.Stderr, "%-12s %s\n", name, all[name].what)
		}
	}
	flag.Parse()
	chosen, ok := all[*name]
	if *name != "" && (!ok || *refuses) || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if *name == noread {
		time.Sleep(forever)
		return
	}
	if *mute {
		_ = syscall.Close(2) // or it is closed already
	}
	signal.Ignore(syscall.SIGPIPE)
	lib := library(*name, chosen, *inherit)
	if *refuses {
		lib.Name = "strict"
		lib.Open = func(sock int) (peer.Socket, error) { return &strict{socket: socket{fd: sock}}, nil }
	}
	if err := peer.Serve(lib, os.Stdin, answers{os.Stdout, chosen}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func library(name string, chosen fault, inherit bool) peer.Library {
	if name == "" {
		name = "faulty"
	} else {
		name = "faulty-" + name
	}
	return peer.Library{
		Name:    name,
		Version: "1",
		Can:     "stream,dgram,seqpacket,multi,iov,flags",
		Open:    func(sock int) (peer.Socket, error) { return &socket{fd: sock, fault: chosen, inherit: inherit}, nil },
	}
}
