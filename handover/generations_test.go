//go:build unix && !linux

package handover_test

import (
	"context"
	"net"
	"path/filepath"
	"testing"

	"github.com/scm-rights/scm/handover"
	"github.com/scm-rights/scm/internal/fdtest"
)

// With the defaults, processes of one user take over from each other, with the clients that wait.
func TestGenerations(t *testing.T) {
	ctx, path := context.Background(), filepath.Join(fdtest.ShortDir(t), "socket")
	var predecessor *handover.Process
	var l net.Listener
	for range 3 {
		p, err := handover.Start(ctx, path)
		fdtest.Must(t, err)
		defer func() { _ = p.Close() }()
		if l, err = p.Listen(ctx, "web", "unix", path+".web"); err == nil {
			err = p.Ready(ctx)
		}
		fdtest.Must(t, err)
		if predecessor != nil {
			<-predecessor.Replaced()
		}
		predecessor = p
		client, err := net.Dial("unix", path+".web")
		fdtest.Must(t, err)
		defer func() { _ = client.Close() }()
	}
	for range 3 {
		if _, err := l.Accept(); err != nil {
			t.Error(err)
		}
	}
}
