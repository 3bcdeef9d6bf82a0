package interop

import (
	"strings"
	"testing"
	"time"

	"github.com/scm-rights/scm/interop/scenario"
)

// Parts of transcripts.
const (
	head = rule + "on stream\n"
	send = "A> send payload=00 fds=a\nA< ok n=1\n"
	recv = "B> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a\n"
	lost = "B> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=- flags=ctrunc\n"
	ends = "A> end\nA< ok\n"
)

// Each verb of the runner accepts a correct case and fails a wrong one.
func TestRunnerVerbs(t *testing.T) {
	p, self := probed(t, ""), runner(t)
	const file, pipe = "files a=file\n", "files a=pipe-w\n"
	for _, c := range []struct {
		name, text string
		a, b       *scenario.Peer
		want       string
	}{
		{"seek moves both", file + "R> seek a=32\n" + send + recv + "R> pos B a=32\nR> pos A a=32\n", p, self, "pass"},
		{"no eof", pipe + send + "A> close fds=a\nA< ok\nR> drop a\nR> eof a\n", p, self, "fail: leak@faulty: a is still open somewhere"},
		{"eof of a connection", "play kernel\nfiles a=tcp\nA> close fds=a\nA< ok\nR> drop a\nR> eof a\n", self.Kernel(), self.Kernel(), "pass"},
		{"the end is pending", ends + "R> pending B\n", p, self, "pass"},
		{"the end is pending, and credentials are asked for", "R> setsockopt B passcred=1\n" + ends + "R> pending B\n", p, self, "pass"},
		{"something is pending before the end", "A> send payload=00 fds=-\nA< ok n=1\n" + ends + "R> pending B\n", p, self,
			"fail: answer@faulty: sent B something to receive, and nothing should have been sent"},
		{"something is pending", file + send + "R> pending B\n", p, self,
			"fail: answer@faulty: sent B something to receive, and nothing should have been sent"},
		{"limit", file + send + "R> limit B nofile=+0\n" + lost, self, p, "pass"},
		{"limit given back", file + send + "R> limit B nofile=+0\nR> limit B nofile=-\n" + recv, self, p, "pass"},
	} {
		t.Run(c.name, func(t *testing.T) {
			// The second case checks that the first has no effect on later cases of the pair.
			list := []scenario.Case{
				{Scenario: mustParse(t, head+c.text), Type: "stream", A: c.a, B: c.b},
				{Scenario: mustParse(t, head+"files a=file b=pipe-r\nA> send payload=00 fds=a,b\nA< ok n=1\nB> recv bytes=1 fds=2\n"+
					"B< ok n=1 payload=00 fds=a,b\nR> pos B a=0\n"), Type: "stream", A: c.a, B: c.b},
			}
			timeout := time.Duration(0)
			if strings.HasPrefix(c.name, "no eof") {
				timeout = 300 * time.Millisecond
			}
			results := runClean(t, list, timeout)
			if got := outcome(results[0]); got != c.want {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
			if got := outcome(results[1]); got != "pass" {
				t.Errorf("the case after it: %s", got)
			}
		})
	}
}

// An empty packet counts as something to receive. The end of the connection does not.
func TestPendingPackets(t *testing.T) {
	self := runner(t)
	for _, c := range []struct{ text, want string }{
		{ends + "R> pending B\n", "pass"},
		{"files a=file\nA> send payload=- fds=a\nA< ok n=0\nR> pending B\n" + ends, "fail: answer@runner: sent B something to receive, and nothing should have been sent"},
		{"files a=file\nA> send payload=- fds=a\nA< ok n=0\n" + ends + "R> pending B\n", "fail: answer@runner: sent B something to receive, and nothing should have been sent"},
	} {
		s := mustParse(t, rule+"on seqpacket\n"+c.text)
		if got := outcome(runClean(t, []scenario.Case{{Scenario: s, Type: "seqpacket", A: self, B: self}}, 0)[0]); got != c.want {
			t.Errorf("%s: got %s\nwant %s", c.text, got, c.want)
		}
	}
}

// A descriptor that a peer closed and received anew no longer identifies the file that it
// referred to before.
func TestReusedFD(t *testing.T) {
	self := runner(t)
	const text = "files a=eventfd b@B=eventfd\n" + send + "R> drop a\nA> close fds=a\nA< ok\n" +
		"B> send payload=01 fds=b\nB< ok n=1\nA> recv bytes=1 fds=1\nA< ok n=1 payload=01 fds=b\n" + recv
	c := scenario.Case{Scenario: mustParse(t, head+text), Type: "stream", A: self, B: self}
	wantPass(t, runClean(t, []scenario.Case{c}, 0)[0])
}
