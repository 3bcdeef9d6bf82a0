package programs

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/cmd/scm/internal/programs/testserver"
	"github.com/scm-rights/scm/internal/reexec"
	"golang.org/x/sys/unix"
)

// testClient runs a correct client of the test server at $SOCK. With "silent", it sends nothing. With "refused", it
// waits until its connection is closed, and does not complain.
func testClient(args []string) {
	var err error
	switch {
	case slices.Contains(args, "refused"):
		if c, _, err := Dial(os.Getenv("SOCK"), 0, limit); err == nil {
			_, _ = unix.Read(c, make([]byte, 1))
		}
	case slices.Contains(args, "silent"):
		_, _, err = Dial(os.Getenv("SOCK"), 0, limit)
	default:
		err = testserver.Client(os.Getenv("SOCK"))
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// shell quotes a command without single quotes for /bin/sh.
func shell(args []string) string { return "exec '" + strings.Join(args, "' '") + "'" }

func proxyOptions(t *testing.T, mode string) ProxyOptions {
	t.Helper()
	args, address := testServer(t, mode, "stream")
	return ProxyOptions{
		Address: address, Server: shell(args), Client: shell(reexec.CommandLine("test client")),
		Settle: limit, Timeout: limit, ClientTimeout: limit}
}

// Each bug is found by the faults that can show it, and no correct server is reported.
func TestProxyTest(t *testing.T) {
	counts := func(check string) (list []string) {
		for _, fault := range []string{"extra", "extra-all", "many"} {
			list = append(list, fault+" "+check)
		}
		return list
	}
	for mode, want := range map[string][]string{
		"correct": nil, "late": nil, "forks": nil, testserver.Store: nil,
		"once":     counts("skipped"), // what it would have kept cannot be seen
		"all":      counts("leak"),
		"second":   counts("leak"),
		"rejected": counts("leak"),
		"deaf":     counts("refuses"),
		"ebadf":    {"opath crash"},
		"opath":    {"opath crash"},
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			o := proxyOptions(t, mode)
			if slices.Contains(append(testserver.Faulty, testserver.Store), mode) {
				o.Settle = short
			}
			trials, err := ProxyTest(context.Background(), o)
			if err != nil {
				t.Fatal(err)
			}
			if got := found(trials); !slices.Equal(got, want) {
				t.Errorf("got %q, want %q\n%+v", got, want, trials)
			}
		})
	}
}

// Without a client that works, nothing can be found out.
func TestProxyTestNeedsAClient(t *testing.T) {
	o := proxyOptions(t, "all")
	o.Settle = short
	for _, c := range []struct{ client, want string }{
		{"echo wrong; exit 3", "none: the client fails without the proxy: exit status 3; it has printed:\nwrong"},
		{`test "$SOCK" = '` + o.Address + `'`, "none: the client fails with the proxy, although that changes nothing: exit status 1"},
	} {
		o.Client = c.client
		trials, err := ProxyTest(context.Background(), o)
		if err == nil || err.Error() != c.want || trials != nil {
			t.Errorf("got %v, %q, want %q", trials, err, c.want)
		}
	}
}

// A fault that could not be injected has no verdict. If none could be, the test has found out nothing.
func TestProxyTestOfAClientWithoutDescriptors(t *testing.T) {
	o := proxyOptions(t, "correct")
	o.Client = "true"
	const never = "none: the client never connects to $SOCK, the socket of the proxy"
	if _, err := ProxyTest(t.Context(), o); err == nil || err.Error() != never {
		t.Error(err)
	}
	o.Client = shell(reexec.CommandLine("test client", "silent"))
	trials, err := ProxyTest(context.Background(), o)
	if err == nil || !strings.HasPrefix(err.Error(), "no fault has a verdict: the client sends no descriptor") {
		t.Fatal(err)
	}
	if got, want := found(trials), []string{"extra skipped", "extra-all skipped", "many skipped", "opath skipped"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What was found is reported even if the server does not start again.
func TestProxyTestReportsWhatWasFoundBefore(t *testing.T) {
	for _, c := range []struct {
		mode   string
		starts int
		want   []string
		err    string
	}{
		{"all", 2, []string{"extra leak", "extra-all skipped", "many skipped", "opath skipped"}, "extra-all: "},
		{"ebadf", 5, []string{"opath skipped"}, "opath: "},
	} {
		args, address := testServer(t, c.mode, "stream")
		o := ProxyOptions{Address: address, Server: shell(limited(t, c.starts, args)), Client: shell(reexec.CommandLine("test client")),
			Settle: short, Timeout: limit, ClientTimeout: limit}
		trials, err := ProxyTest(t.Context(), o)
		want := c.err + "the server has ended: exit status 3; it has printed:\nlocked"
		if fmt.Sprint(err) != want {
			t.Errorf("%s: got %v, want %s", c.mode, err, want)
		}
		if got := found(trials); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.mode, got, c.want)
		}
		const once = "the server ends (exit status 1), but scm could not repeat that"
		if c.mode == "ebadf" && !slices.ContainsFunc(trials, func(t Trial) bool { return t.Skipped == once }) {
			t.Errorf("%s: no trial was skipped with %q: %+v", c.mode, once, trials)
		}
	}
}

// If the proxy cannot be between the client and the server, the error says why.
func TestProxyTestErrors(t *testing.T) {
	args, address := testServer(t, "correct", "dgram")
	o := ProxyOptions{Address: address, Server: shell(args), Client: "true", Settle: short, Timeout: limit, ClientTimeout: limit}
	if _, err := ProxyTest(t.Context(), o); err == nil || err.Error() != "none: "+address+" is a datagram socket, and a proxy needs connections: use scm poke" {
		t.Error(err)
	}
	args, o.Address = testServer(t, "correct", "stream")
	o.Server, o.Listen = shell(args), strings.Repeat("x", 108)
	if _, err := ProxyTest(t.Context(), o); err == nil || !strings.HasSuffix(err.Error(), "use a shorter path, or a relative one; set it with --listen") {
		t.Error(err)
	}
}

// A client that does not notice that the relay cannot connect does not make the run a success.
func TestProxyTestReportsItsRelay(t *testing.T) {
	o := proxyOptions(t, "correct")
	o.Client = fmt.Sprintf(`test "$SOCK" = '%[1]s' || { mv '%[1]s' '%[1]s2'; '%s'; mv '%[1]s2' '%[1]s'; }`,
		o.Address, strings.Join(reexec.CommandLine("test client", "refused"), "' '"))
	trials, err := ProxyTest(t.Context(), o)
	want := "none: the client fails with the proxy, although that changes nothing: proxy: client 1: connect " + o.Address + ": no such file or directory"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, %+v, want %s", err, trials, want)
	}
}

// A server that keeps a descriptor and then ends, but does not do so each time, only keeps it.
func TestProxyTestOfALeakAndACrash(t *testing.T) {
	args, address := testServer(t, "all", "stream")
	dir := t.TempDir()
	o := ProxyOptions{
		Address: address, Server: fmt.Sprintf("echo $$ >%s/pid; %s", dir, shell(args)), Settle: short, Timeout: limit, ClientTimeout: limit,
		// The client runs three times for each fault. The sixth run is the last one with the fault extra.
		Client: fmt.Sprintf(`cd %s; echo >>runs; test $(wc -l <runs) != 6 || { kill -KILL $(cat pid); exit 1; }; %s`,
			dir, shell(reexec.CommandLine("test client"))),
	}
	trials, err := ProxyTest(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := found(trials), []string{"extra leak", "extra-all leak", "many leak"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if note := "the server is killed by SIGKILL, but not each time"; !slices.Contains(trials[1].Notes, note) {
		t.Errorf("got %q, want %q", trials[1].Notes, note)
	}
}
