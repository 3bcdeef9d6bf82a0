//go:build linux && go1.25

package toy

import (
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/scm-rights/scm/fdleak"
)

// After a test in a bubble, one file is closed outside the bubble, and one inside.
func TestCorrectBubble(t *testing.T) {
	late := make(chan *os.File)
	go func() {
		f := <-late
		time.Sleep(100 * time.Millisecond)
		ok(f.Close())
	}()
	synctest.Test(t, func(t *testing.T) {
		fdleak.Check(t)
		late <- must(os.Open("/"))
		f := must(os.Open("/"))
		time.AfterFunc(time.Second, func() { ok(f.Close()) })
	})
}
