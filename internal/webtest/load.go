//go:build unix

package webtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// minPause keeps clients from starving a server that starts, on a machine with one processor.
const minPause = 5 * time.Millisecond

// A Client sends one request after the other.
type Client struct {
	Kind  string // for errors
	URL   string
	HTTP  http.Client
	Pause time.Duration // after each request, and at least minPause
	Again bool          // net/http may send a request again if the server says that it has not processed it
	Rest  string        // of the answer, after the line with the process ID

	mu      sync.Mutex
	asked   int
	refused int // requests for which there was no connection
	lost    int // requests that were not answered on a connection
	errors  map[string]bool
	pids    map[int]bool // the processes that have answered
}

// Post sends a request. If hold is set, the server of [NewHTTP] sends the first line of its answer before
// it has read the body.
func Post(client *http.Client, url string, body io.Reader, hold bool) (*http.Response, error) {
	request, err := http.NewRequest(http.MethodPost, url, body)
	if err != nil {
		return nil, err
	}
	if hold {
		request.Header.Set("Hold", "yes")
	}
	return client.Do(request)
}

// Ask sends a request, and returns the process that has sent the answer, which must be complete. Unless c.Again is set,
// net/http does not send the request again, because it cannot read the body again.
func (c *Client) Ask() (pid int, err error) {
	var body io.Reader = strings.NewReader("x")
	if !c.Again {
		body = io.NopCloser(body)
	}
	answer, err := Post(&c.HTTP, c.URL, body, false)
	if err != nil {
		return 0, err
	}
	text, err := io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return 0, err
	}
	first, rest, _ := strings.Cut(string(text), "\n")
	if pid, err = strconv.Atoi(first); err == nil && rest != c.Rest {
		err = fmt.Errorf("got %q after the process ID, want %q", rest, c.Rest)
	}
	return pid, err
}

// send sends a request, and records the result.
func (c *Client) send() {
	pid, err := c.Ask()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pids == nil {
		c.errors, c.pids = map[string]bool{}, map[int]bool{}
	}
	c.asked++
	switch {
	case err == nil:
		c.pids[pid] = true
		return
	// A Unix socket without a file, or with a full queue, refuses a connection too.
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.EAGAIN):
		c.refused++
	default:
		c.lost++
	}
	c.errors[err.Error()] = true
}

// A Load is clients that send requests until End is called.
type Load struct {
	clients []*Client
	stop    context.CancelFunc
	done    sync.WaitGroup
}

// Start lets the clients send requests. It returns when each of them has had an answer.
func Start(clients ...*Client) (*Load, error) {
	for _, c := range clients {
		c.send()
		if len(c.pids) == 0 {
			return nil, fmt.Errorf("%s: %v", c.Kind, slices.Collect(maps.Keys(c.errors)))
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	l := &Load{clients: clients, stop: stop}
	for _, c := range clients {
		l.done.Add(1)
		go func() {
			defer l.done.Done()
			for ctx.Err() == nil {
				c.send()
				time.Sleep(max(c.Pause, minPause))
			}
		}()
	}
	return l, nil
}

// Answers returns how many clients each process has answered.
func (l *Load) Answers() map[int]int {
	by := map[int]int{}
	for _, c := range l.clients {
		c.mu.Lock()
		for pid := range c.pids {
			by[pid]++
		}
		c.mu.Unlock()
	}
	return by
}

// End ends the load, and returns the totals. The error is that a connection was refused, or that a client
// has lost more than the given number of requests.
func (l *Load) End(lose int) (totals string, err error) {
	l.stop()
	l.done.Wait()
	asked, refused, lost := 0, 0, 0
	for _, c := range l.clients {
		c.HTTP.CloseIdleConnections()
		asked, refused, lost = asked+c.asked, refused+c.refused, lost+c.lost
		if c.refused > 0 || c.lost > lose {
			err = errors.Join(err, fmt.Errorf("%s: %d of %d requests lost, %d refused: %v",
				c.Kind, c.lost, c.asked, c.refused, slices.Sorted(maps.Keys(c.errors))))
		}
	}
	return fmt.Sprintf("%d requests answered by %d processes, %d lost, %d refused",
		asked-lost-refused, len(l.Answers()), lost, refused), err
}
