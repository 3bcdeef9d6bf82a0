//go:build unix

// Command promises checks what SECURITY.md and package framed promise, as far as a program can see it: which
// descriptors are open after a call, and which file each of them is. It prints each promise before
// it checks it, and panics if one is broken.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/framed"
	"github.com/scm-rights/scm/internal/fdtest"
)

// losses are the ways in which a message loses its three files. Nothing of it may stay open.
var losses = []struct {
	name    string
	config  scm.Config
	receive func(b *scm.Conn) error // nil if the message is never received
}{
	{"never received", scm.Config{}, nil},
	{"more files than requested", scm.Config{}, readFiles(2)},
	{"no file requested", scm.Config{}, readFiles(0)},
	{"rejected", scm.Config{Expect: &scm.Expect{Max: 3, Kind: scm.KindRegular}}, readFiles(3)},
	{"full descriptor table", scm.Config{}, full(readFiles(3))},
	{"framed, more files than its limit", scm.Config{}, readFramed(2)},
	{"framed, full descriptor table", scm.Config{}, full(readFramed(3))},
}

func main() {
	for _, network := range []string{"unix", "unixgram", "unixpacket"} {
		for _, l := range losses {
			if network == "unixpacket" && runtime.GOOS == "darwin" || network != "unix" && strings.HasPrefix(l.name, "framed") {
				continue // there is no such socket, or framed is for streams
			}
			check(network+": "+l.name, func() { lose(network, l.config, l.receive) })
		}
	}
	check("framed gives each message its own files", positions)
}

// check panics unless f leaves the same descriptors open.
func check(name string, f func()) {
	fmt.Println(name)
	end(pair("unix", scm.Config{})) // the first opens what the runtime's poller needs
	before := fdtest.Open()
	f()
	if after := fdtest.Open(); !slices.Equal(after, before) {
		panic(fmt.Sprintf("open before: %v; afterwards: %v", before, after))
	}
}

func ok(err error) {
	if err != nil {
		panic(err)
	}
}

func get[T any](value T, err error) T {
	ok(err)
	return value
}

func pair(network string, config scm.Config) (a, b *scm.Conn) {
	a, b, err := config.Pair(network)
	ok(err)
	return a, b
}

func end[C io.Closer](list ...C) {
	for _, c := range list {
		ok(c.Close())
	}
}

func readFiles(most int) func(b *scm.Conn) error {
	return func(b *scm.Conn) error {
		_, files, err := b.ReadFiles(make([]byte, 8), most)
		end(files...)
		return err
	}
}

// readFramed returns the error of Take after a Read, because no later message may get the files of this one.
func readFramed(limit int) func(b *scm.Conn) error {
	return func(b *scm.Conn) error {
		r := framed.NewReader(b, framed.Limits{Waiting: limit})
		defer end(r)
		_, _ = r.Read(make([]byte, 8))
		files, err := r.Take(1)
		end(files...)
		return err
	}
}

// full calls f while no descriptor can be opened.
func full(f func(b *scm.Conn) error) func(b *scm.Conn) error {
	return func(b *scm.Conn) error {
		var limit unix.Rlimit
		ok(unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
		none := limit
		none.Cur = 3
		ok(unix.Setrlimit(unix.RLIMIT_NOFILE, &none))
		err := f(b)
		ok(unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
		return err
	}
}

// lose sends a message with the writing end of a pipe and with both sockets, a cycle that only the kernel can end.
// The reading end shows when nothing has the other end open.
func lose(network string, config scm.Config, receive func(b *scm.Conn) error) {
	a, b := pair(network, config)
	r, w, err := os.Pipe()
	ok(err)
	files := []*os.File{w, get(a.File()), get(b.File())}
	get(a.WriteFiles([]byte("m"), files...))
	end(files...)
	if receive != nil {
		err = receive(b)
		if !errors.As(err, new(*scm.TruncatedError)) && !errors.As(err, new(*scm.ExpectError)) {
			panic(fmt.Sprint("the error reports no loss: ", err))
		}
	}
	end(a, b)
	end(pair(network, scm.Config{})) // NetBSD looks for cycles when a socket ends
	ok(r.SetReadDeadline(time.Now().Add(time.Minute)))
	if _, err := r.Read(make([]byte, 1)); err != io.EOF {
		panic(fmt.Sprint("the other end of the pipe is open: ", err))
	}
	end(r)
}

// positions reads messages ahead, each with up to two files that contain the number of the message.
func positions() {
	a, b := pair("unix", scm.Config{})
	r := framed.NewReader(b, framed.Limits{})
	in := bufio.NewReaderSize(r, 16) // shorter than some messages, and longer than others
	for i := range 60 {
		f := get(os.CreateTemp("", "promise"))
		get(fmt.Fprint(f, i))
		get(a.WriteFiles(fmt.Appendf(nil, "%*d\n", 2+i/2, i), []*os.File{f, f}[:i%3]...))
		ok(errors.Join(os.Remove(f.Name()), f.Close()))             // a send leaves it open
		for message := i - 3; message <= i && i%4 == 3; message++ { // every fourth time, four messages
			get(in.ReadString('\n'))
			files := get(r.TakeUpTo(r.Offset() - int64(in.Buffered())))
			got := ""
			for _, f := range files {
				p := make([]byte, 8)
				n, _ := f.ReadAt(p, 0)
				got += fmt.Sprintf("the file of %s, close-on-exec: %t; ", p[:n], fdtest.CloseOnExec(int(f.Fd())))
			}
			if want := strings.Repeat(fmt.Sprintf("the file of %d, close-on-exec: true; ", message), message%3); got != want {
				panic(fmt.Sprintf("message %d has %swant: %s", message, got, want))
			}
			end(files...)
		}
	}
	end(r)
	end(a, b)
}
