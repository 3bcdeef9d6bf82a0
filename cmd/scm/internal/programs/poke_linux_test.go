package programs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/scm-rights/scm/cmd/scm/internal/programs/testserver"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/internal/reexec"
	"github.com/scm-rights/scm/internal/ringtest"
	"golang.org/x/sys/unix"
)

// short is for servers that keep descriptors forever, and limit for those that do not: Poke then ends as soon as they
// have closed them.
const short = 10 * time.Millisecond

// found returns the findings as "WHAT CHECK", and the items without a verdict as "WHAT skipped" or "WHAT untried".
func found(trials []Trial) (list []string) {
	for _, t := range trials {
		for _, f := range t.Findings {
			list = append(list, t.What+" "+string(f.Check))
		}
		if t.Skipped != "" {
			list = append(list, t.What+" skipped")
		}
		if t.Untried != "" {
			list = append(list, t.What+" untried")
		}
	}
	return list
}

func poke(t *testing.T, o PokeOptions) []Trial {
	t.Helper()
	if o.Timeout == 0 {
		o.Timeout = limit
	}
	trials, err := Poke(context.Background(), o)
	fdtest.Must(t, err)
	return trials
}

// Each bug is found by the items that can show it, and no correct server is reported.
func TestPoke(t *testing.T) {
	leaks := func(items ...string) (list []string) {
		for _, item := range items {
			list = append(list, item+" leak")
		}
		return list
	}
	notes := map[string]map[string][]string{ // the items by mode
		"descriptors, no more than of the first": {
			testserver.Cache:      {"second", "two", "253", "path"},
			testserver.LargeCache: {"byte", "newline", "zeros", "ones", "4k", "second", "two", "253", "path"},
			testserver.RingCache:  {"two", "253"},
			"ring":                {"253"}, // which fills it
		},
		"when it was sent again, the server ends (exit status 1)": {"hoard": {"newline"}},
	}
	for mode, want := range map[string][]string{
		"correct": nil, "late": nil, "forks": nil,
		"once": nil, testserver.Cache: nil, testserver.LargeCache: nil, testserver.RingCache: nil,
		"hangup": {"second untried"},
		// Of several tables, only that of the thread that serves has the descriptors, and fills up.
		testserver.Apart + "correct": nil,
		testserver.Apart + "second":  leaks("two", "253"),
		// It ends after each line that it does not know, also without a descriptor.
		"strict":   {"newline skipped", "4k skipped"},
		"all":      leaks(Items...),
		"both":     append(leaks(Items[:8]...), "path crash"),
		"hoard":    append(leaks(Items[:7]...), "253 crash", "path leak"),
		"ring":     leaks(Items[:7]...),
		"two":      leaks("two"),
		"second":   leaks("two", "253"),
		"rejected": leaks("newline", "4k", "second", "two", "253", "path"),
		"closes":   {"newline skipped"},
		"quits":    {"newline skipped"},
		"unread":   {"newline skipped"},
		"ebadf":    {"path crash"},
		"opath":    {"path crash"},
		"deaf":     {"newline refuses", "4k refuses", "second refuses", "two refuses", "253 refuses", "path refuses"},
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			if mode == "ring" || mode == testserver.RingCache {
				needRing(t)
			}
			args, address := testServer(t, mode, "stream")
			if strings.HasSuffix(mode, "second") { // its descriptor table gets full, and then it keeps no more
				args = limitFiles(args, 200)
			}
			o := PokeOptions{Args: args, Address: address, Settle: limit}
			stores := slices.Contains([]string{testserver.Cache, testserver.LargeCache, testserver.RingCache}, mode)
			if stores || slices.Contains(testserver.Faulty, strings.TrimPrefix(mode, testserver.Apart)) {
				o.Settle = short
			}
			if mode == "unread" {
				o.Timeout = 4 * time.Second // it waits longer than that once
			}
			trials := poke(t, o)
			if got := found(trials); !slices.Equal(got, want) {
				t.Errorf("got %q, want %q\n%+v", got, want, trials)
			}
			for _, trial := range trials {
				for text, items := range notes {
					got := strings.Contains(fmt.Sprint(trial.Notes), text)
					if want := slices.Contains(items[mode], trial.What); got != want {
						t.Errorf("%s: a note with %q: %v, want %v: %+v", trial.What, text, got, want, trial)
					}
				}
			}
		})
	}
}

// needRing skips a test that needs an io_uring.
func needRing(t *testing.T) {
	t.Helper()
	ring, err := ringtest.New(1)
	if err != nil {
		t.Skip("the kernel does not permit an io_uring: ", err)
	}
	_ = unix.Close(ring)
}

// The finding says how many descriptors are fixed files, and the size of the io_uring's table is the limit.
func TestPokeRing(t *testing.T) {
	needRing(t)
	args, address := testServer(t, "ring", "stream")
	trials := poke(t, PokeOptions{PID: start(t, args, address).pid, Address: address, Settle: short})
	want := regexp.MustCompile("keeps 1 of 1 .*, 1 of them as fixed files of an io_uring: 1 per message, " +
		fmt.Sprintf("so that about 2[0-9]{2} messages reach its limit of %d; who may connect: ", testserver.RingSize))
	if text := fmt.Sprint(trials[0].Findings); !want.MatchString(text) {
		t.Errorf("got %s, want %s", text, want)
	}
}

// limitFiles returns the command of a server with a low descriptor limit.
func limitFiles(args []string, limit int) []string {
	return append([]string{"sh", "-c", fmt.Sprintf(`ulimit -n %d; exec "$@"`, limit), "sh"}, args...)
}

// A server whose descriptor table is full cannot receive a descriptor, so the item goes to a new server. With a server
// that was already running, it has no verdict. If the server is activated, a table that receives nothing also has the
// listening socket.
func TestPokeAFullTable(t *testing.T) {
	for _, way := range []string{"started", "activated", "attached"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			args, address := testServer(t, testserver.Apart+"all", "stream") // it reads before it accepts the next connection
			o := PokeOptions{Args: limitFiles(args, 20), Address: address, Settle: short, Dangerous: true, Activate: way == "activated"}
			want := []string{"byte leak", "newline leak", "zeros leak", "ones leak", "4k leak", "second leak", "two leak", "253 leak", "path leak"}
			if way == "attached" {
				o.PID, o.Args = start(t, o.Args, address).pid, nil
				for i := 5; i < len(want); i++ {
					want[i] = Items[i] + " skipped"
				}
			}
			trials := poke(t, o)
			if got := found(trials); !slices.Equal(got, want) {
				t.Errorf("got %q, want %q\n%+v", got, want, trials)
			}
			if text := fmt.Sprint(trials[0].Findings); !regexp.MustCompile("(about [23] messages reach|the next message reaches) its limit of 20;").MatchString(text) {
				t.Errorf("got %s, want that few messages reach the limit", text)
			}
		})
	}
}

// startForked starts a server that serves in a child, and returns it and the child.
func startForked(t *testing.T, mode, typ string) (server *Server, child int, address string) {
	t.Helper()
	args, address := testServer(t, testserver.Forked+mode, typ)
	server = start(t, args, address)
	for end := time.Now().Add(limit); ; time.Sleep(time.Millisecond) {
		pids, err := server.Processes()
		if len(pids) == 2 && ProgramOf(pids[1]) == ProgramOf(server.pid) && server.Idle() {
			return server, pids[1], address
		}
		if err != nil || time.Now().After(end) {
			t.Fatalf("the server has the processes %v: %v; it has printed: %s", pids, err, server.Output())
		}
	}
}

// limitTo limits a running process to this many more descriptors.
func limitTo(t *testing.T, pid, more int) {
	t.Helper()
	fds, err := procfs.OpenFDs(pid)
	if err == nil && more > 0 {
		more += len(fds)
	}
	if err == nil {
		err = unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(more), Max: uint64(more)}, nil)
	}
	fdtest.Must(t, err)
}

// Of several processes that have the listening socket, the one that accepts a connection needs space.
func TestPokeAFullTableOfOneProcess(t *testing.T) {
	for _, child := range []bool{true, false} {
		t.Run(fmt.Sprint(child), func(t *testing.T) {
			t.Parallel()
			server, pid, address := startForked(t, "correct", "stream")
			want := []string(nil)
			if child {
				limitTo(t, pid, 1) // for the connection
				for _, item := range Items {
					want = append(want, item+" skipped")
				}
			} else {
				limitTo(t, server.pid, 0)
			}
			o := PokeOptions{PID: server.pid, Address: address, Settle: short, Timeout: limit, Dangerous: true}
			trials, err := Poke(t.Context(), o)
			if got := found(trials); !slices.Equal(got, want) || child != (err != nil) {
				t.Errorf("got %q and %v, want %q\n%+v", got, err, want, trials)
			}
		})
	}
}

// A process that may open no descriptor at all receives none.
func TestPokeWithoutDescriptors(t *testing.T) {
	args, address := testServer(t, "correct", "dgram")
	server := start(t, args, address)
	limitTo(t, server.pid, 0)
	_, err := Poke(t.Context(), PokeOptions{PID: server.pid, Address: address, Settle: short, Timeout: limit})
	if want := "no item has a verdict: " + errTable.Error(); fmt.Sprint(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// An item is not tried only if the server closes each of its connections after the first message.
func TestPokeTriesWhatItCan(t *testing.T) {
	first, closed, full := errFirst.Error(), errClosed.Error(), errTable.Error()
	for _, c := range []struct{ why, untried, skipped string }{{first, first, ""}, {closed, first, ""}, {full, "", full}} {
		trial := pokeTrial{units: []*unit{{why: first}, {why: c.why}}}
		trial.end()
		if trial.Untried != c.untried || trial.Skipped != c.skipped {
			t.Errorf("%s: got untried %q and skipped %q, want %q and %q", c.why, trial.Untried, trial.Skipped, c.untried, c.skipped)
		}
	}
}

// A datagram server whose queue stays full no longer reads. A running one has no verdict, as it cannot be started
// again.
func TestPokeAFullQueue(t *testing.T) {
	if text, err := os.ReadFile("/proc/sys/net/unix/max_dgram_qlen"); err != nil || len(text) > len("10\n") {
		t.Skipf("a queue has too many datagrams: %q (%v)", text, err)
	}
	for _, attached := range []bool{false, true} {
		t.Run(fmt.Sprint(attached), func(t *testing.T) {
			t.Parallel()
			args, address := testServer(t, "stuck", "dgram")
			o := PokeOptions{Args: args, Address: address, Settle: short, Timeout: 3 * time.Second, Dangerous: true}
			want := "refuses"
			if attached {
				o.PID, o.Args, want = start(t, args, address).pid, nil, "skipped"
			}
			trials := poke(t, o)
			full := slices.IndexFunc(trials, func(trial Trial) bool {
				return strings.Contains(fmt.Sprint(trial.Findings, trial.Skipped), "datagrams after") ||
					strings.Contains(trial.Skipped, "scm cannot start the server again to find out")
			})
			got := found(trials) // byte and newline were read
			if full < 2 || len(got) != len(Items)-2 || got[full-2] != Items[full]+" "+want {
				t.Fatalf("got %q, want %d findings, of which that at %d is %s", got, len(Items)-2, full, want)
			}
			for _, trial := range trials[full+1:] {
				untried := strings.HasPrefix(trial.Skipped, "not tried")
				if !untried && !strings.HasPrefix(trial.Skipped, "before that") {
					t.Errorf("%s: got %+v, want it skipped", trial.What, trial)
				}
			}
		})
	}
}

// The types of socket, and abstract names, with zero bytes at the end and without. Each finding says how bad it is.
func TestPokeSockets(t *testing.T) {
	for _, typ := range []string{"stream", "seqpacket", "dgram"} {
		for _, name := range []string{"%s", "@%s", `@%s\0@`} {
			t.Run(fmt.Sprint(typ, name), func(t *testing.T) {
				t.Parallel()
				_, address := testServer(t, "", "")
				address = fmt.Sprintf(name, address)
				if strings.Contains(address, `\0`) { // it fills the address
					address += strings.Repeat("@", 109-len(address))
				}
				fdtest.Must(t, CheckAddress(&address))
				args := reexec.CommandLine("test server", "all", typ, address)
				want := len(Items)
				trials := poke(t, PokeOptions{Args: args, Address: address, Settle: short})
				if got := found(trials); len(got) != want {
					t.Errorf("got %q, want %d findings", got, want)
				}
				var limit unix.Rlimit
				_ = unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
				for _, trial := range trials {
					fds := items[slices.Index(Items, trial.What)].fds
					reach := fmt.Sprintf(": %d per message, so that about ", fds)
					who := fmt.Sprintf(" messages reach its limit of %d; who may connect: user:", limit.Cur)
					if name != "%s" {
						who = fmt.Sprintf(" messages reach its limit of %d; who may connect: any", limit.Cur)
					}
					text := trial.Findings[0].Text
					if !strings.Contains(text, reach) || !strings.Contains(text, who) {
						t.Errorf("got %s, want %s and %s", text, reach, who)
					}
				}
			})
		}
	}
}

// A server that needs no descriptors lets the kernel reject them.
func TestPokeRejected(t *testing.T) {
	for _, typ := range []string{"stream", "seqpacket", "dgram"} {
		t.Run(typ, func(t *testing.T) {
			t.Parallel()
			args, address := testServer(t, testserver.NoFiles, typ)
			trials, err := Poke(t.Context(), PokeOptions{Args: args, Address: address, Settle: short, Timeout: limit})
			if err != nil && strings.Contains(err.Error(), unix.ENOPROTOOPT.Error()) {
				t.Skip("this kernel has no SO_PASSRIGHTS")
			}
			for _, trial := range trials {
				if len(trial.Findings) > 0 || trial.Skipped != "" || len(trial.Notes) != 1 ||
					!strings.Contains(trial.Notes[0], "SO_PASSRIGHTS") {
					t.Errorf("%s: got %+v, want only a note about SO_PASSRIGHTS", trial.What, trial)
				}
			}
			if err != nil || len(trials) != len(Items) {
				t.Errorf("%d items: %v", len(trials), err)
			}
		})
	}
}

// If the kernel rejects the descriptors, they are not the reason why a server ends.
func TestPokeRejectedByAServerThatEnds(t *testing.T) {
	for _, attached := range []bool{false, true} {
		args, address := testServer(t, testserver.NoFilesStrict, "stream")
		o := PokeOptions{Args: args, Address: address, Settle: short, Timeout: limit, Dangerous: true}
		want := []string(nil)
		if attached {
			o.PID, o.Args = start(t, args, address).pid, nil
			for _, item := range Items {
				if item != "newline" { // which ends the server
					want = append(want, item+" skipped")
				}
			}
		}
		trials, err := Poke(t.Context(), o)
		if err != nil && strings.Contains(err.Error(), unix.ENOPROTOOPT.Error()) {
			t.Skip("this kernel has no SO_PASSRIGHTS")
		}
		if got := found(trials); err != nil || !slices.Equal(got, want) {
			t.Errorf("attached %t: got %q and %v, want %q\n%+v", attached, got, err, want, trials)
		}
		for _, trial := range trials {
			if trial.Skipped == "" && !strings.Contains(fmt.Sprint(trial.Notes), "SO_PASSRIGHTS") {
				t.Errorf("attached %t: %+v", attached, trial)
			}
		}
	}
}

// The server gets its socket as from systemd, and a new one after each end.
func TestPokeActivates(t *testing.T) {
	for mode, want := range map[string][]string{"opath": {"path crash"}, "once": nil} {
		address := filepath.Join(fdtest.ShortDir(t), "socket")
		args := reexec.CommandLine("test server", mode, "stream", "/nonexistent/socket")
		settle := short
		if want == nil {
			settle = limit
		}
		if got := found(poke(t, PokeOptions{Args: args, Address: address, Activate: true, Settle: settle})); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", mode, got, want)
		}
	}
}

// A server that is running already gets only what does no harm.
func TestPokeAttached(t *testing.T) {
	args, address := testServer(t, "opath", "stream")
	s := start(t, args, address)
	o := PokeOptions{PID: s.pid, Address: address, Settle: limit}
	trials := poke(t, o)
	if len(found(trials)) > 0 || len(trials) != len(Items)-2 {
		t.Errorf("got %d trials, want %d without a finding: %+v", len(trials), len(Items)-2, trials)
	}
	if ended := s.Ended(); ended != nil {
		t.Error(ended)
	}
	args, address = testServer(t, "both", "stream")
	o = PokeOptions{PID: start(t, args, address).pid, Address: address, Settle: short, Dangerous: true}
	got := found(poke(t, o)) // the descriptors of the item 253 are lost with the server
	if want := []string{"byte leak", "newline leak", "zeros leak", "ones leak", "4k leak", "second leak", "two leak", "253 skipped", "path crash"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// limited returns the command of a server that starts only a few times.
func limited(t *testing.T, starts int, args []string) []string {
	t.Helper()
	script := fmt.Sprintf(`echo >>"$0"; [ $(wc -l <"$0") -le %d ] || { echo locked; exit 3; }; exec "$@"`, starts)
	return append([]string{"sh", "-c", script, filepath.Join(t.TempDir(), "starts")}, args...)
}

// Findings are reported even if the server does not start again.
func TestPokeReportsWhatWasFoundBefore(t *testing.T) {
	for _, c := range []struct {
		mode   string
		starts int
		want   []string
		why    string // why the last item that was sent has no verdict
	}{
		{"both", 1, []string{"byte leak", "newline leak", "zeros leak", "ones leak", "4k leak", "second leak", "two leak", "253 skipped", "path skipped"},
			"the server is killed by SIGKILL after a descriptor opened with O_PATH, but scm could not repeat that"},
		{"deaf", 7, []string{"byte skipped", "newline refuses", "zeros skipped", "ones skipped", "4k skipped", "second skipped", "two skipped", "253 skipped", "path skipped"},
			"the server no longer accepts connections after a descriptor, but scm could not repeat that"},
	} {
		args, address := testServer(t, c.mode, "stream")
		trials, err := Poke(t.Context(), PokeOptions{Args: limited(t, c.starts, args), Address: address, Settle: short, Timeout: limit})
		if want := "the server has ended: exit status 3; its output:\nlocked"; fmt.Sprint(err) != want {
			t.Errorf("%s: got %v, want %s", c.mode, err, want)
		}
		if got := found(trials); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.mode, got, c.want)
		}
		if !slices.ContainsFunc(trials, func(t Trial) bool { return t.Skipped == c.why }) {
			t.Errorf("%s: got %+v, want %s", c.mode, trials, c.why)
		}
	}
}

// A server that reads nothing is tested by no item, even if it reads the bytes of --first.
func TestPokeAServerThatDoesNotRead(t *testing.T) {
	for _, first := range []string{"", "hello"} {
		t.Run(first, func(t *testing.T) {
			t.Parallel()
			address := filepath.Join(fdtest.ShortDir(t), "socket")
			s := start(t, reexec.CommandLine("lazy server", address, fmt.Sprint(len(first))), address)
			o := PokeOptions{PID: s.pid, Address: address, Settle: short, Timeout: time.Second, First: []byte(first)}
			began := time.Now()
			trials, err := Poke(t.Context(), o)
			// at least the timeout for each message would be longer
			if took := time.Since(began); took > 25*time.Second {
				t.Errorf("it took %s", took)
			}
			if len(trials) > 0 || err == nil || !strings.HasPrefix(err.Error(), "the server has read none of the messages") {
				t.Errorf("got %v, %+v", err, trials)
			}
		})
	}
}

// lazyServer accepts connections, and reads only a few bytes of each. Then it may close the connection.
func lazyServer(args []string) {
	n, _ := strconv.Atoi(args[1])
	l, err := Listen(unix.SOCK_STREAM, args[0])
	for err == nil {
		var c int
		if c, _, err = unix.Accept(l); err == nil && n > 0 {
			_, _ = unix.Read(c, make([]byte, n))
		}
		if slices.Contains(args, "exit") {
			return
		}
		if slices.Contains(args, "close") {
			unix.Close(c)
		}
	}
}

// A server that closes a connection, or ends, after the beginning of a message has received its descriptors.
func TestPokeAServerThatReadsTheBeginning(t *testing.T) {
	for _, then := range []string{"close", "exit"} {
		address := filepath.Join(fdtest.ShortDir(t), "socket")
		args := reexec.CommandLine("lazy server", address, "8", then)
		if got := found(poke(t, PokeOptions{Args: args, Address: address, Settle: limit})); !slices.Equal(got, []string{"second untried"}) {
			t.Errorf("%s: got %q", then, got)
		}
	}
}

// The path of a socket may contain the PID of the server, also of one that is started again.
func TestPokeAPattern(t *testing.T) {
	pattern := filepath.Join(fdtest.ShortDir(t), "socket-*")
	script := `exec "$@" "${SOCK%\*}$$"`
	args := reexec.CommandLine("test server", "opath", "stream")
	args = append([]string{"sh", "-c", script, "sh"}, args...)
	o := PokeOptions{Args: args, Address: pattern, Settle: short}
	if got := found(poke(t, o)); !slices.Equal(got, []string{"path crash"}) {
		t.Errorf("got %q, want only a crash at path", got)
	}
	if left, _ := filepath.Glob(pattern); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	args, other := testServer(t, "correct", "stream")
	o = PokeOptions{PID: start(t, args, other).pid, Address: pattern, Settle: short, Timeout: limit}
	want := fmt.Sprintf("process %d does not listen at %s; the server listens at %s", o.PID, pattern, other)
	if _, err := Poke(t.Context(), o); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	o.Address = other[:len(other)-3] + "*"
	if got := found(poke(t, o)); len(got) > 0 {
		t.Errorf("at %s: got %q, want no findings", o.Address, got)
	}
}

// The bytes of --first come before each item, and the server reads them separately.
func TestPokeSendsFirst(t *testing.T) {
	args, address := testServer(t, "rejected", "stream")
	// The zero bytes become part of a line.
	got := found(poke(t, PokeOptions{Args: args, Address: address, Settle: short, First: make([]byte, 1000)}))
	if want := []string{"newline leak", "zeros leak", "ones leak", "4k leak", "second leak", "two leak", "253 leak", "path leak"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// If a server cannot be poked, the error says why.
func TestPokeErrors(t *testing.T) {
	address := filepath.Join(fdtest.ShortDir(t), "socket")
	sh := func(script string) []string { return []string{"sh", "-c", script} }
	for _, c := range []struct {
		want string
		o    PokeOptions
	}{
		{"no process listens at", PokeOptions{Args: sh("echo starting >&2; sleep 1000"), Timeout: 2 * time.Second}},
		{"the server has ended: exit status 3; its output:\nno", PokeOptions{Args: sh("echo no; exit 3"), Timeout: limit}},
		{"cannot start the server", PokeOptions{Args: []string{"/nonexistent/server"}, Timeout: limit}},
		{"process 2147483647: no such process", PokeOptions{PID: 1<<31 - 1, Timeout: limit}},
	} {
		c.o.Address, c.o.Settle = address, short
		if _, err := Poke(context.Background(), c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
	args, other := testServer(t, "correct", "stream")
	_, err := Poke(context.Background(), PokeOptions{Args: args, Address: address, Settle: short, Timeout: 2 * time.Second})
	if err == nil || !strings.HasSuffix(err.Error(), "no process listens at "+address+"; the server listens at "+other) {
		t.Error(err)
	}
	// The type of the socket is wrong.
	for typ, o := range map[string]PokeOptions{"dgram": {Type: unix.SOCK_STREAM}, "stream": {Type: unix.SOCK_DGRAM}, "seqpacket": {Type: unix.SOCK_STREAM}} {
		for _, address := range []string{filepath.Join(fdtest.ShortDir(t), "socket"), "@" + filepath.Join(fdtest.ShortDir(t), "socket")} {
			o.PID, o.Address, o.Settle, o.Timeout = start(t, reexec.CommandLine("test server", "all", typ, address), address).pid, address, short, time.Millisecond
			if _, err := Poke(t.Context(), o); err == nil || !strings.Contains(err.Error(), "the socket has another --type: "+typ) {
				t.Errorf("%s at %s: got %v", typ, address, err)
			}
		}
	}
	dgram := PokeOptions{Args: sh("exit 3"), Address: address, Activate: true, Settle: short, Timeout: limit}
	if _, err := Poke(t.Context(), dgram); err == nil || !strings.HasSuffix(err.Error(), "perhaps it wants another --type of socket than stream") {
		t.Error(err)
	}
	args, mute := testServer(t, "mute", "stream")
	_, err = Poke(t.Context(), PokeOptions{Args: args, Address: mute, Settle: short, Timeout: limit})
	var ends int
	if _, e := fmt.Sscanf(fmt.Sprint(err), "the server ended %d times before it had read a message", &ends); e != nil || ends < len(Items) ||
		!strings.HasSuffix(err.Error(), " (exit status 1); its output:\ndatabase is locked") {
		t.Errorf("got %v, want how often it ended, with which status, and what it printed", err)
	}
	unreachable := filepath.Join(os.Args[0], "socket")
	if _, err := Poke(t.Context(), PokeOptions{Args: sh("sleep 1000"), Address: unreachable, Settle: short, Timeout: limit}); !errors.Is(err, unix.ENOTDIR) {
		t.Error(err)
	}
	l, err := Listen(unix.SOCK_STREAM, address)
	fdtest.Must(t, err)
	defer unix.Close(l)
	// The socket file stays, even if the server should have another type.
	for _, typ := range []int{0, unix.SOCK_DGRAM} {
		o := PokeOptions{Args: sh("sleep 1000"), Address: address, Type: typ, Settle: short, Timeout: limit}
		_, err := Poke(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), "did not start") || !Listening(address) {
			t.Errorf("type %d: got %v, want a server that did not start, and its socket left", typ, err)
		}
	}
}

// A process that does not serve the socket keeps nothing, which says nothing about the server. The address may be
// another name of the server's socket file, or the file may have been renamed.
func TestPokeAnotherProcess(t *testing.T) {
	for _, typ := range []string{"stream", "dgram"} {
		for _, name := range []string{"bound", "link", "renamed"} {
			t.Run(typ+" "+name, func(t *testing.T) {
				t.Parallel()
				args, address := testServer(t, "all", typ)
				server := start(t, args, address)
				otherArgs, otherAddress := testServer(t, "all", "stream")
				other := start(t, otherArgs, otherAddress)
				o := PokeOptions{PID: other.pid, Address: address, Settle: short, Timeout: 2 * time.Second}
				var err error
				switch name {
				case "link":
					o.Address += "2"
					err = os.Symlink(address, o.Address)
				case "renamed":
					o.Address += "2"
					err = os.Rename(address, o.Address)
				}
				fdtest.Must(t, err)
				want := fmt.Sprintf("process %d does not listen at %s, as far as the kernel shows", o.PID, o.Address)
				if _, err = Poke(t.Context(), o); err == nil || !strings.HasPrefix(err.Error(), want) {
					t.Errorf("got %v, want %s", err, want)
				}
				if typ == "dgram" && name == "renamed" {
					return // the kernel does not show who has the socket
				}
				o.PID = server.pid
				if got := found(poke(t, o)); len(got) == 0 {
					t.Error("no findings")
				}
			})
		}
	}
}
