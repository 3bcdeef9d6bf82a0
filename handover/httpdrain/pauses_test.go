//go:build unix

package httpdrain_test

import (
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/scm-rights/scm/internal/fdtest"
)

// A crowd is a number of clients, each of which keeps a connection and pauses between its requests.
type crowd struct {
	t        *testing.T
	url      string
	protocol string
	end      chan struct{}
	clients  sync.WaitGroup
	asked    atomic.Int64
	reused   atomic.Int64 // requests on a connection that had been used before
	failed   atomic.Int64 // of these
}

// start adds clients whose pauses are random, between least and most.
func (c *crowd) start(clients int, method string, least, most time.Duration) {
	for range clients {
		c.clients.Add(1)
		go func() {
			defer c.clients.Done()
			transport := &http.Transport{Protocols: protocols(c.protocol)}
			defer transport.CloseIdleConnections()
			for {
				select {
				case <-c.end:
					return
				case <-time.After(least + rand.N(most-least)):
				}
				c.ask(transport, method)
			}
		}()
	}
}

// ask makes a request. A POST has a body that net/http cannot send again.
func (c *crowd) ask(transport *http.Transport, method string) {
	var body io.Reader
	if method == http.MethodPost {
		body = io.NopCloser(&io.LimitedReader{R: zeros{}, N: 1})
	}
	request, err := http.NewRequest(method, c.url, body)
	if err != nil {
		c.t.Error(err)
		return
	}
	var reused atomic.Bool
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { reused.Store(info.Reused) }}
	response, err := transport.RoundTrip(request.WithContext(httptrace.WithClientTrace(c.t.Context(), trace)))
	if err == nil {
		_, err = io.Copy(io.Discard, response.Body)
		err = errors.Join(err, response.Body.Close())
	}
	c.asked.Add(1)
	if reused.Load() {
		c.reused.Add(1)
	}
	if err != nil {
		c.failed.Add(1)
		c.t.Logf("%s, reused: %v: %v", method, reused.Load(), err)
	}
	if err != nil && !reused.Load() {
		c.t.Error("on a new connection: ", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// The net/http package closes an idle connection when IdleTimeout is over, and a request can be on its way to it. No
// server can prevent this. So the test compares a server that is replaced ten times with one that is not.
func TestClientsThatPause(t *testing.T) {
	if os.Getenv("SCM_HANDOVER") != "full" {
		t.Skip("takes minutes; make proof-stress runs it")
	}
	const (
		idle     = 5 * time.Second
		upgrades = 10
		reuses   = 2000
	)
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
		t.Run(protocol, func(t *testing.T) {
			path := filepath.Join(fdtest.ShortDir(t), "socket")
			server, replaced, _ := startServer(t, path, idle)
			_, constant, _ := startServer(t, path+"2", idle)
			end := make(chan struct{})
			closeEnd := sync.OnceFunc(func() { close(end) })
			add := func(urls map[string]string) *crowd {
				return &crowd{t: t, url: urls["plain"], protocol: protocol, end: end}
			}
			steady, repeating, once, control := add(replaced), add(replaced), add(replaced), add(constant)
			all := []*crowd{steady, repeating, once, control}
			wait := func() {
				closeEnd()
				for _, c := range all {
					c.clients.Wait()
				}
			}
			defer wait()
			method := http.MethodPost
			if protocol == "HTTP/2" {
				method = http.MethodGet // the response may arrive before the notice that asks for a new connection
			}
			steady.start(200, method, 0, idle*8/10)
			steady.start(16, method, 0, time.Millisecond) // these would notice if Drain closed idle connections
			repeating.start(200, http.MethodGet, idle*9/10, idle*11/10)
			once.start(600, http.MethodPost, idle*9/10, idle*11/10)
			control.start(600, http.MethodPost, idle*9/10, idle*11/10)
			var longest time.Duration
			for i := range upgrades {
				// These never send a second request.
				for range 10 {
					transport := &http.Transport{Protocols: protocols(protocol)}
					defer transport.CloseIdleConnections()
					steady.ask(transport, http.MethodPost)
				}
				predecessor := server
				server, _, _ = startServer(t, path, idle)
				start := time.Now()
				if err := predecessor.Wait(); err != nil {
					t.Errorf("upgrade %d: %v", i+1, err)
				}
				longest = max(longest, time.Since(start))
			}
			fdtest.Eventually(t, "the clients that do not repeat have reused their connections often enough", func() bool {
				return once.reused.Load() >= reuses && control.reused.Load() >= reuses
			})
			wait()
			t.Logf("%d upgrades, the longest drain took %v", upgrades, longest)
			t.Logf("(1) pauses of at most 0.8 IdleTimeout: %d of %d requests failed", steady.failed.Load(), steady.asked.Load())
			t.Logf("(2) pauses of 0.9 to 1.1 IdleTimeout, may be repeated: %d of %d requests failed", repeating.failed.Load(), repeating.asked.Load())
			t.Logf("(3) the same pauses, may not be repeated: %d of %d reuses failed; without upgrades %d of %d",
				once.failed.Load(), once.reused.Load(), control.failed.Load(), control.reused.Load())
			if steady.failed.Load() > 0 || repeating.failed.Load() > 0 {
				t.Error("requests were lost")
			}
			got := float64(once.failed.Load())
			want := float64(control.failed.Load()) * float64(once.reused.Load()) / float64(control.reused.Load())
			// Even if both fail equally often, the difference is larger than twice the root of one count in 8% of all
			// runs.
			if got-want > 3*math.Sqrt(got+want) {
				t.Errorf("%v requests that may not be repeated failed, want about %v", got, want)
			}
		})
	}
}
