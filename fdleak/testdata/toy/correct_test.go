//go:build linux

package toy

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/fdleak"
)

// These leave nothing open. Main looks at all of them, Check at those that are not parallel.

func TestCorrectPoller(t *testing.T) { // the first of the process, if it is run alone
	fdleak.Check(t)
	r, w := must2(os.Pipe())
	ok(r.SetReadDeadline(time.Now().Add(time.Millisecond)))
	_, _ = r.Read(make([]byte, 1))
	ok(r.Close())
	ok(w.Close())
}

func TestCorrectFiles(t *testing.T) {
	fdleak.Check(t)
	f := must(os.Create(filepath.Join(t.TempDir(), "file")))
	t.Cleanup(func() { ok(f.Close()) })
}

func TestCorrectParallelSubtests(t *testing.T) {
	fdleak.Check(t)
	for range 8 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			for range 100 {
				ok(must(os.Open("/")).Close())
			}
		})
	}
}

func TestCorrectParallel1(t *testing.T) { parallel(t) }
func TestCorrectParallel2(t *testing.T) { parallel(t) }

func parallel(t *testing.T) {
	f := must(os.Open("/dev/null"))
	t.Parallel() // a test with Check runs while this one waits
	ok(f.Close())
}

func TestCorrectExec(t *testing.T) {
	fdleak.Check(t)
	ended := make(chan error)
	for range 4 {
		go func() { ended <- exec.Command("true").Run() }()
	}
	for range 4 {
		ok(<-ended)
	}
}

func TestCorrectHTTP(t *testing.T) {
	fdleak.Check(t)
	server := httptest.NewServer(http.FileServer(http.Dir("/")))
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for range 3 {
		response := must(client.Get(server.URL))
		must(io.Copy(io.Discard, response.Body))
		ok(response.Body.Close())
	}
}

func TestCorrectLookup(t *testing.T) {
	fdleak.Check(t)
	_, _ = net.LookupHost("localhost")
	refusing := net.Resolver{PreferGo: true, Dial: func(_ context.Context, network, _ string) (net.Conn, error) {
		return net.Dial(network, "127.0.0.1:9")
	}}
	_, _ = refusing.LookupHost(context.Background(), "scm.invalid")
	_, _ = user.Lookup("nobody")
}

// io.Copy keeps the pipe that it has spliced through.
func TestCorrectSplice(t *testing.T) {
	waitForPipeMemory(t)
	fdleak.Check(t)
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	from, in := dial(l)
	out, to := dial(l)
	must(from.Write([]byte("hello")))
	ok(from.Close())
	if n := must(io.Copy(out, in)); n != 5 {
		t.Error(n)
	}
	for _, c := range []io.Closer{in, out, to, l} {
		ok(c.Close())
	}
}

// waitForPipeMemory waits until the user may have a pipe as large as that of io.Copy. The pipes of other tests can use up
// what /proc/sys/fs/pipe-user-pages-soft allows.
func waitForPipeMemory(t *testing.T) {
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		r, w, err := os.Pipe()
		ok(err)
		_, err = unix.FcntlInt(r.Fd(), unix.F_SETPIPE_SZ, 1<<20)
		ok(r.Close())
		ok(w.Close())
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

func dial(l net.Listener) (client, server net.Conn) {
	client = must(net.Dial("tcp", l.Addr().String()))
	return client, must(l.Accept())
}

func TestCorrectRenumbered(t *testing.T) {
	fd := must(unix.Open("/dev/null", unix.O_RDONLY, 0))
	t.Run("", func(t *testing.T) {
		fdleak.Check(t)
		other := must(unix.Dup(fd))
		ok(unix.Close(fd))
		fd = other
	})
	ok(unix.Close(fd))
}

func TestCorrectLate(t *testing.T) {
	fdleak.Check(t)
	f := must(os.Open("/"))
	time.AfterFunc(100*time.Millisecond, func() { ok(f.Close()) })
}

// A goroutine of the program always has a socket open, which it replaces while the check waits.
func TestCorrectReplaced(t *testing.T) {
	defer replaceSockets()()
	t.Run("", whileReplaced)
}

func whileReplaced(t *testing.T) {
	fdleak.Check(t)
	for range 3 {
		<-replaced
	}
}

// replaced receives a value after each replacement.
var replaced = make(chan bool)

// replaceSockets starts the goroutine. The function that it returns ends it.
func replaceSockets() (stop func()) {
	end, ended := make(chan bool), make(chan bool)
	go func() {
		defer close(ended)
		old := must(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))
		for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
			socket := must(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))
			ok(unix.Close(old))
			old = socket
			select {
			case replaced <- true:
			case <-end:
				ok(unix.Close(old))
				return
			default:
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}

func FuzzCorrect(f *testing.F) {
	f.Fuzz(func(t *testing.T, _ []byte) {
		fdleak.Check(t)
		ok(must(os.Open("/")).Close())
	})
}
