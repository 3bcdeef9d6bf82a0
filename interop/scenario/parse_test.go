package scenario

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// rule begins every transcript of these tests: two lines.
const rule = "# What must hold.\n# Where that comes from.\n"

// simple is a transcript with nothing to complain of.
const simple = rule + `on stream dgram
files a=pipe-r

A> send payload=00 fds=a
A< ok n=1
B> recv bytes=1 fds=1
B< ok n=1 payload=00 fds=a
`

func mustParse(t testing.TB, text string) *Scenario {
	t.Helper()
	s, err := Parse("group/id", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestParseScenario(t *testing.T) {
	s := mustParse(t, rule+`# More of the rule.

on stream dgram  # no packets
play receiver  # A is the runner
room any   #
needs root inq  # why
user A uid=65534 nofile=64  # nobody
files a=pipe-r b@B=file  # two
files c1..c2=memfd
# A comment, which is not of the rule.
R> seek b=7  # why it seeks
A> send payload=00 fds=a,c1
A< ok n=1
B>& recv bytes=1 fds=1
B<& ok n=1 payload=00 fds=a:x,closed flags=ctrunc  # the first
 | ok n=1 payload=00 fds=a:x,closed:1  # the second
B> close fds=x
B< ok
`)
	got := fmt.Sprintf("%s %s %v %q %q %q %v", s.Name, s.Play, s.RoomAny, s.Rule, s.Types, s.Needs, s.Users)
	if want := `group/id receiver true ["What must hold." "Where that comes from." "More of the rule."] ["stream" "dgram"] ` +
		`["root" "inq"] map[A:{65534 64}]`; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	files := []FileSpec{{"a", RoleA, "pipe-r"}, {"b", RoleB, "file"}, {"c1", RoleA, "memfd"}, {"c2", RoleA, "memfd"}}
	if !slices.Equal(s.Files, files) {
		t.Errorf("files: got %v, want %v", s.Files, files)
	}
	var steps []string
	for _, st := range s.Steps {
		step := fmt.Sprintf("%d %s%c%s %s", st.Line, st.Role, st.Kind, Async(st), st.Text)
		for _, w := range st.Alternatives {
			step += fmt.Sprintf("[%s (%s)]", w.Text, w.Reason)
		}
		steps = append(steps, step)
	}
	want := []string{
		"13 R> seek b=7",
		"14 A> send payload=00 fds=a,c1",
		"15 A< [ok n=1 ()]",
		"16 B>& recv bytes=1 fds=1",
		"17 B<& [ok n=1 payload=00 fds=a:x,closed flags=ctrunc (the first)][ok n=1 payload=00 fds=a:x,closed:1 (the second)]",
		"19 B> close fds=x",
		"20 B< [ok ()]",
	}
	if !slices.Equal(steps, want) {
		t.Errorf("steps: got\n%s\nwant\n%s", strings.Join(steps, "\n"), strings.Join(want, "\n"))
	}
}

// Each of these texts comes after the rule, "on stream" and "files a=pipe-r": its
// first line is line 5.
func TestParseScenarioErrors(t *testing.T) {
	const ok = "A> end\nA< ok\n"
	for _, c := range []struct{ text, want string }{
		// The form of a line.
		{"nonsense", `:5: not a line of a transcript: "nonsense"`},
		{"\r", `:5: not printable text: "\r"`},
		{"A>end", `:5: no space after "A>"`},
		{"A> send  payload=00", `:5: words must be separated by one space: "send  payload=00"`},
		{"A> end\nA< fine", `:6: an answer begins with ok or err, not fine`},
		{" | ok  # a reason", `:5: an alternative must follow an expected answer`},
		{" || ok  # a reason", `:5: an alternative must follow an expected answer`},
		{"A> end\nA< ok\n | err lib", `:7: an alternative needs a reason: "err lib"`},

		// Directives.
		{"on tcp", `:5: "tcp" cannot follow "on"; words that can are stream dgram seqpacket`},
		{"on dgram dgram", `:5: duplicate "dgram"`},
		{"play along", `:5: "along" cannot follow "play"; words that can are pair solo `},
		{"play solo pair", `:5: play takes one word`},
		{"files p=pipe-r b=end:p c=end:p", `:5: "c=end:p": the runner does not have the other end of p`},
		{"waits C", `:5: "C" cannot follow "waits"; words that can are A B`},
		{"files b=door", `:5: no such kind of file: "door"; kinds are file rdonly `},
		{"files 7=file", `:5: not a name: "7"`},

		// The whole.
		{"", `: no answer is expected: the scenario cannot fail`},
		{"files a=dir\n" + ok, `:5: two files are named "a"`},
		{"R> drop a", `: no answer is expected: the scenario cannot fail`},
		{"A> end", `:5: no answer of A to this command is expected`},
		{"A> end\nA> end\nA< ok", `:6: A has not answered line 5`},

		// Commands and answers.
		{"A> sing", `:5: no such command: "sing"`},
		{"A> end\nA< ok n=1", `:6: `},
		{"B> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=-\n | ok n=1  # why", `:7: `},
		{"A> end\nA< err epipe", `:6: `},

		// What package contract knows: calls, answers, and their values.
		{"user A uid=0", `:5: a user line is user A uid=N or user A uid=N nofile=N, once for each of A and B`},
		{"play kernel\nA> sendmsg payload=00 color=1\nA< ok n=1", ":6: usage: sendmsg payload=P "},
		{"play kernel\nA> dup fd=asock\nA< ok fd=new", `:7: no file is named "new"`},
		{"play kernel\nA> dup fd=a\nA< ok fd=new:a", `:7: no file is named "new"`},
		{"B> recv bytes=1x fds=1\nB< ok n=1 payload=00 fds=a", `:5: `},

		// Names.
		{"A> send payload=00 fds=b\nA< ok n=1", `:5: A has no "b"`},
		{"A> send payload=00 fds=a*x\nA< ok n=1", `:5: neither NAME*N nor NAME1..NAME9: "a*x"`},
		{"B> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=closed,a", `:6: no file is named "closed"`},
		{"B> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a:7", `:6: not a name: "7"`},
		{"B> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a:x\nB> close fds=a\nB< ok", `:7: B has no "a"`},

		// The runner's own lines.
		{"R< ok", `:5: the runner answers nothing: its lines begin with "R> "`},
		{"R> dance", `:5: the runner has no verb "dance"; verbs are seek pos `},
		{"R> eof a", `:5: eof a: drop comes before eof`},
		{"files f=file\nR> seek f=9223372036854775807", `:6: `},
		{"R> setsockopt B nonsense=1", `:5: no socket option is called "nonsense"; options are acceptconn `},
		{"R> pos C a=1", `:5: pos is written as in "R> pos B x=32", not "pos C a=1"`},

		// Lines in an order that makes no sense.
		{"R>& drop a", `:5: the runner answers nothing: its lines begin with "R> "`},
		{ok + "A> send payload=00 fds=-\nA< ok n=1", `:7: A has ended the case: it gets no more commands`},
		{"R> kill B SIGKILL\nB> recv bytes=1 fds=1\nB< err", `:6: B was killed: it gets no more commands`},
		{"B>& recv bytes=1 fds=1\nR> kill B SIGKILL\nB<& err", `:7: B has no command to answer`},
		{"R> blocked B", `:5: blocked B: B has no command to answer`},
		{"R> settled B", `:5: settled B: B has no command to answer`},
	} {
		_, err := Parse("group/id", []byte(rule+"on stream\nfiles a=pipe-r\n"+c.text))
		if err == nil || !strings.HasPrefix(err.Error(), "group/id"+c.want) {
			t.Errorf("%q:\n got %v\nwant %s", c.text, err, c.want)
		}
	}
}

// In the folder of peer scenarios, a process of the runner can make six calls. No peer can make any.
func TestParseCalls(t *testing.T) {
	const (
		others = ` is for kernel scenarios (play kernel); those for peer scenarios are sendmsg recvmsg read write fcntl shutdown`
		peerA  = ` is not a command for a peer: A is a process of the runner only with play receiver or play kernel`
		peerB  = ` is not a command for a peer: B is a process of the runner only with play sender or play kernel`
	)
	six := "sendmsg payload=00\nA< ok n=1\nA> recvmsg bytes=1\nA< ok n=1 payload=00\nA> read fd=a bytes=1\nA< ok n=1\n" +
		"A> write fd=a payload=00\nA< ok n=1\nA> fcntl fd=a get=fl\nA< ok value=rdwr\nA> shutdown how=wr\nA< ok\n"
	for _, c := range []struct{ text, want string }{
		{"play receiver\nA> " + six, ""},
		{"play sender\nB> " + strings.ReplaceAll(strings.ReplaceAll(six, "A", "B"), "fd=a", "fd=bsock"), ""},
		{"play receiver\nA> dup fd=a\nA< ok fd=new:x\n", `6: the call "dup"` + others},
		{"play sender\nB> signal fd=bsock signal=SIGUSR1\nB< ok\n", `6: the call "signal"` + others},
		{"play kernel\nA> dup fd=a\nA< ok fd=new:x\n", ""},
		{"A> sendmsg payload=00\nA< ok n=1\n", `5: "sendmsg"` + peerA},
		{"play solo\nB> recvmsg bytes=1\nB< ok n=1\n", `6: "recvmsg"` + peerB},
		{"play sender\nA> setns fd=a\nA< ok\n", `6: "setns"` + peerA},
		{"A> hello\nA< ok\n", `5: only the runner itself sends "hello"`},
	} {
		s, err := Parse("group/id", []byte(rule+"on stream\nfiles a=file\n"+c.text))
		if err == nil && !s.Kernel() {
			err = s.ValidatePeer()
		}
		if c.want == "" && err != nil || c.want != "" && fmt.Sprint(err) != "group/id:"+c.want {
			t.Errorf("%q:\n got %v\nwant %s", c.text, err, c.want)
		}
	}
}

// ValidatePeer accepts nine kinds of file. Parse accepts all.
func TestParseKinds(t *testing.T) {
	peer := 0
	for _, k := range FileKinds {
		text := rule + "on stream\nfiles a=" + k.Name + "\n%sA> end\nA< ok\n"
		s, err := Parse("group/id", fmt.Appendf(nil, text, ""))
		if err != nil {
			t.Errorf("a file of kind %s: %v", k.Name, err)
			continue
		}
		want := "<nil>"
		if !k.Peer {
			want = fmt.Sprintf("group/id: the kind of file %q is for kernel scenarios (play kernel); those for peer scenarios are "+
				"file append dir opath null pipe-r pipe-w memfd eventfd pty-master pty-slave pair tcp tcp-listener udp unix-listener", k.Name)
		}
		if got := fmt.Sprint(s.ValidatePeer()); got != want {
			t.Errorf("%s:\n got %s\nwant %s", k.Name, got, want)
		}
		if _, err := Parse("group/id", fmt.Appendf(nil, text, "play kernel\n")); err != nil {
			t.Errorf("%s in a kernel scenario: %v", k.Name, err)
		}
		if k.Peer {
			peer++
		}
	}
	if peer != 16 {
		t.Errorf("%d kinds are for peer scenarios, not 16", peer)
	}
}

func TestParseScenarioNeedsItsHead(t *testing.T) {
	const steps, source = "on stream\nA> end\nA< ok\n", "the first two lines must be comments: the rule and its source"
	for text, want := range map[string]string{
		"": source, steps: source, "# A rule.\n" + steps + "# and its source, too late\n": source, rule + "A> end\nA< ok\n": "no socket types",
	} {
		if _, err := Parse("group/id", []byte(text)); err == nil || err.Error() != "group/id: "+want {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
	if a, b := mustParse(t, simple), mustParse(t, simple+"\n"); len(a.Hash) != 12 || a.Hash == b.Hash {
		t.Errorf("the hashes of two texts are %s and %s", a.Hash, b.Hash)
	}
}
