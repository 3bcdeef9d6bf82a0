//go:build linux

package handover

import (
	"context"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
)

// toSend returns a file for talk. The test fails if a descriptor is left open, or if that of the file or of a standard
// stream is closed.
func toSend(t *testing.T) *os.File {
	file := must(os.CreateTemp(t.TempDir(), ""))
	var ledger fdtest.Ledger
	ledger.Own(0, 1, 2, int(file.Fd()))
	t.Cleanup(func() {
		if lost := ledger.Lost(); len(lost) > 0 {
			t.Errorf("closed %q, which the test owns", lost)
		}
		_ = file.Close()
	})
	noLeak(t)
	return file
}

// talk sends a script, and then ends the stream. Each line is a message: a digit, which is the number of its
// descriptors, and the text. The descriptors are the files, in turn. A line without a digit is sent without a length.
func talk(p *peer, script string, files ...syscall.Conn) {
	for _, line := range strings.SplitN(script[:min(len(script), 1<<14)], "\n", 32) {
		if line == "" || line[0] < '0' || line[0] > '9' {
			_, _ = p.conn.Write([]byte(line))
			continue
		}
		var attached []syscall.Conn
		for i := range int(line[0] - '0') {
			attached = append(attached, files[i%len(files)])
		}
		_ = p.sendText([]byte(line[1:]), attached...)
	}
	_ = p.conn.CloseWrite()
}

// The script contains the successor's messages. The successor replaces the predecessor only with hello, ready and
// another message.
func FuzzPredecessor(f *testing.F) {
	f.Fuzz(func(t *testing.T, script string) {
		file := toSend(t)
		a := startReady(t, Config{})
		p, s := waits(t, a)
		talk(s.peer, script, file)
		a.admit(p)
		if a.isReplaced() && !regexp.MustCompile("(?s)hello.*ready").MatchString(script) {
			t.Error("the process was replaced")
		}
	})
}

// The script contains the predecessor's messages. After them, the predecessor dies or, if revokes is true, writes into
// its pipe that the attempt has failed. In the second case, the successor serves only if it has received sockets and
// go.
func FuzzSuccessor(f *testing.F) {
	f.Fuzz(func(t *testing.T, script string, revokes bool) {
		file := toSend(t)
		p := newPredecessor(t)
		ctx, cancel := context.WithCancel(patient(t))
		ended := make(chan bool)
		go func() {
			defer close(ended)
			if conn, err := p.control.AcceptConn(); err == nil {
				talk(play(t, conn).peer, script, p.life[0], p.control, file)
				if revokes {
					_, _ = p.life[1].Write([]byte{0})
				}
				_ = p.life[1].Close()
			}
			if conn, err := p.control.AcceptConn(); err == nil { // the successor would connect again and again
				_ = conn.Close()
				cancel()
			}
		}()
		s, err := Start(ctx, p.path)
		if err == nil {
			closeFiles([]*os.File{s.File("file")})
			err = s.Ready(ctx)
			_ = s.Close()
		}
		if err == nil && revokes && !regexp.MustCompile(`(?s)sockets.*"go"`).MatchString(script) {
			t.Error("the successor serves")
		}
		_ = p.control.Close()
		<-ended
	})
}
