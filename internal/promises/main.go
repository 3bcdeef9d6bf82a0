//go:build unix

// Command promises checks what SECURITY.md and package framed promise, as far as a program can see it: which
// descriptors are open after a call, and which file each of them is. It uses only what other modules can use. It prints
// each promise before it checks it, and panics if one is broken.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/framed"
)

// losses are the ways in which a message loses its three files. Nothing of it may stay open.
var losses = []struct {
	name    string
	config  scm.Config
	receive func(b *scm.Conn, p []byte) error // nil if the message is never received
}{
	{"never received", scm.Config{}, nil},
	{"more files than requested", scm.Config{}, func(b *scm.Conn, p []byte) error { return readFiles(b, p, 2) }},
	{"no file requested", scm.Config{}, func(b *scm.Conn, p []byte) error { return readFiles(b, p, 0) }},
	{"rejected", scm.Config{Expect: &scm.Expect{Max: 3, Kind: scm.KindRegular}}, func(b *scm.Conn, p []byte) error { return readFiles(b, p, 3) }},
	{"full descriptor table", scm.Config{}, func(b *scm.Conn, p []byte) (err error) {
		full(func() { err = readFiles(b, p, 3) })
		return err
	}},
	{"Recv without FDs", scm.Config{}, func(b *scm.Conn, p []byte) error {
		m := scm.Message{Buffers: [][]byte{p}}
		if err := b.Recv(&m, 0); err != nil || !m.Truncated() {
			return err
		}
		return &scm.TruncatedError{}
	}},
}

func main() {
	for _, network := range []string{"unix", "unixgram", "unixpacket"} {
		if network == "unixpacket" && runtime.GOOS == "darwin" { // which has none
			continue
		}
		for _, l := range losses {
			check(network+": "+l.name, func() {
				a, b := pair(network, l.config)
				r, w, err := os.Pipe()
				ok(err)
				files := []*os.File{w, get(a.File()), get(b.File())} // a cycle, which only the kernel can end
				get(a.WriteFiles([]byte("m"), files...))
				end(files...)
				if l.receive != nil {
					mustLose(l.receive(b, make([]byte, 8)))
				}
				end(a, b)
				end(pair(network, scm.Config{})) // NetBSD looks for cycles when a socket ends
				ok(r.SetReadDeadline(time.Now().Add(time.Minute)))
				if _, err := r.Read(make([]byte, 1)); err != io.EOF {
					panic(fmt.Sprint("the other end of the pipe is open: ", err))
				}
				end(r)
			})
		}
		check(network+": received", func() { received(network) })
	}
	check("framed: positions", positions)
	check("framed: losses", framedLosses)
}

// check panics unless f leaves the same descriptors open.
func check(name string, f func()) {
	fmt.Println(name)
	end(pair("unix", scm.Config{})) // the first opens what the runtime's poller needs
	before := open()
	f()
	if after := open(); !slices.Equal(after, before) {
		panic(fmt.Sprintf("open before: %v; afterwards: %v", before, after))
	}
}

func open() (fds []int) {
	for fd := range 1024 {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
			fds = append(fds, fd)
		}
	}
	return fds
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

func readFiles(b *scm.Conn, p []byte, most int) error {
	_, files, err := b.ReadFiles(p, most)
	end(files...)
	return err
}

// mustLose panics unless the error reports that files were lost.
func mustLose(err error) {
	if !errors.As(err, new(*scm.TruncatedError)) && !errors.As(err, new(*scm.ExpectError)) {
		panic(fmt.Sprint("the error reports no loss: ", err))
	}
}

// full calls f while no descriptor can be opened.
func full(f func()) {
	var limit unix.Rlimit
	ok(unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	none := limit
	none.Cur = 3
	ok(unix.Setrlimit(unix.RLIMIT_NOFILE, &none))
	f()
	ok(unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
}

// send sends a payload with new files, which contain the texts.
func send(a *scm.Conn, payload string, texts ...string) {
	var files []*os.File
	for _, text := range texts {
		f := get(os.CreateTemp("", "promise"))
		ok(os.Remove(f.Name()))
		get(f.WriteString(text))
		files = append(files, f)
	}
	get(a.WriteFiles([]byte(payload), files...))
	same(files, texts...) // also after a send, they are the caller's to close
}

// same panics unless the files contain the texts and are close-on-exec. It closes them.
func same(files []*os.File, texts ...string) {
	var got []string
	for _, f := range files {
		p := make([]byte, 16)
		n, _ := f.ReadAt(p, 0)
		got = append(got, string(p[:n]))
		if flags := get(unix.FcntlInt(f.Fd(), unix.F_GETFD, 0)); flags&unix.FD_CLOEXEC == 0 {
			panic("a descriptor is not close-on-exec")
		}
	}
	if !slices.Equal(got, texts) {
		panic(fmt.Sprintf("files %q, want %q", got, texts))
	}
	end(files...)
}

func received(network string) {
	a, b := pair(network, scm.Config{})
	send(a, "m", "one", "two", "three")
	_, files, err := b.ReadFiles(make([]byte, 8), 3)
	ok(err)
	same(files, "one", "two", "three")
	send(a, "m", "four")
	m := scm.Message{Buffers: [][]byte{make([]byte, 8)}, FDs: make([]int, 2)}
	ok(b.Recv(&m, 0))
	same(get(m.Files()), "four")
	end(a, b)
}

func positions() {
	a, b := pair("unix", scm.Config{})
	r := framed.NewReader(b, framed.Limits{})
	in := bufio.NewReaderSize(r, 16) // shorter than some messages, and longer than others
	texts := func(i int) []string { return []string{fmt.Sprint(i, "a"), fmt.Sprint(i, "b")}[:i%3] }
	for first := 0; first < 60; first += 4 {
		for i := first; i < first+4; i++ {
			send(a, fmt.Sprintf("%*d\n", 2+first/2, i), texts(i)...)
		}
		for i := first; i < first+4; i++ {
			get(in.ReadString('\n'))
			same(get(r.TakeUpTo(r.Offset()-int64(in.Buffered()))), texts(i)...)
		}
	}
	end(r)
	end(a, b)
}

// framedLosses loses a file because the table is full, and one to the limit of the queue. Later messages must not get
// the files of others.
func framedLosses() {
	a, b := pair("unix", scm.Config{})
	r := framed.NewReader(b, framed.Limits{})
	read := func() error { _, err := r.Read(make([]byte, 1)); return err }
	send(a, "1", "one")
	full(func() { mustLose(read()) })
	send(a, "2", "two")
	mustLose(read())
	end(r)

	r = framed.NewReader(b, framed.Limits{Waiting: 1})
	send(a, "3", "three")
	err := read()
	for ; err == nil; err = read() { // message 2 is still queued, and on some systems the byte of message 1
	}
	mustLose(err)
	_, err = r.Take(1)
	mustLose(err)
	end(r)
	end(a, b)
}
