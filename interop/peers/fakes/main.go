//go:build linux

// Peers that misbehave, to test the runner with: fake --sin NAME is right in all
// but one thing, fake without a sin in everything.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/scm-rights/scm/interop/peers/go/peer"
)

// sins of a library are in socket.go, and those of a peer here.
var sins = []string{
	"cloexec", // receives without close-on-exec
	"leak",    // takes one descriptor more than there is room for, and keeps it
	"dup",     // keeps a duplicate of what it received
	"length",  // sends a control message that is one descriptor too short
	"stale",   // reports the last receive's numbers again when none came
	"reopen",  // sends a newly opened file in place of the open one
	"swap",    // reports several descriptors in the wrong order
	"garbage", // answers a receive with noise
	"die",     // exits in the middle of the answer to a receive
	"hang",    // never answers a receive
	"noread",  // never reads a command
}

// forever is longer than any deadline, and no trouble if nobody ends the process.
const forever = 10 * time.Minute

func main() {
	sin := flag.String("sin", "", "one of "+strings.Join(sins, ", "))
	flag.Parse()
	if *sin != "" && !slices.Contains(sins, *sin) || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if *sin == "noread" {
		time.Sleep(forever)
		return
	}
	signal.Ignore(syscall.SIGPIPE)
	if err := peer.Serve(library(*sin), os.Stdin, answers{os.Stdout, *sin}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func library(sin string) peer.Library {
	name := "fake"
	if sin != "" {
		name += "-" + sin
	}
	return peer.Library{
		Name:    name,
		Version: "1",
		Can:     "stream,dgram,seqpacket,multi,iov,flags",
		Open:    func(sock int) (peer.Socket, error) { return &socket{fd: sock, sin: sin}, nil },
	}
}

// answers spoils the answers to receives that went well. Serve makes one Write an answer.
type answers struct {
	io.Writer
	sin string
}

func (a answers) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte(" payload=")) {
		switch a.sin {
		case "garbage":
			_, err := a.Writer.Write([]byte("\x7fELF\x00\xff\xfe\x1b[2J ok \x00\n"))
			return len(line), err
		case "die":
			_, _ = a.Writer.Write(line[:len(line)/2])
			fmt.Fprintln(os.Stderr, "fake: the disk is full of eels")
			os.Exit(3)
		case "hang":
			time.Sleep(forever)
		}
	}
	return a.Writer.Write(line)
}
