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
		for _, w := range st.Wants {
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
		{"\r", `:5: not text: "\r"`},
		{"A>end", `:5: no space after "A>"`},
		{"A> send  payload=00", `:5: words must be separated by one space: "send  payload=00"`},
		{"A> end\nA< fine", `:6: an answer begins with ok or err, not fine`},
		{" | ok  # a reason", `:5: an alternative to nothing`},
		{"A> end\nA< ok\n | err lib", `:7: an alternative needs a reason: "err lib"`},

		// Directives.
		{"on tcp", `:5: no such word behind "on": "tcp"; there are stream dgram seqpacket`},
		{"on dgram dgram", `:5: dgram twice`},
		{"play along", `:5: no such word behind "play": "along"; there are pair solo `},
		{"play solo pair", `:5: play takes one word`},
		{"files p=pipe-r b=end:p c=end:p", `:5: "c=end:p": the runner does not have the other end of p`},
		{"waits C", `:5: no such word behind "waits": "C"; there are A B`},
		{"files b=door", `:5: no such kind of file: "door"; kinds are file rdonly `},
		{"files 7=file", `:5: not a name: "7"`},

		// The whole.
		{"", `: no answer is expected: the scenario cannot fail`},
		{"files a=dir\n" + ok, `:5: two files are named "a"`},
		{"R> drop a", `: no answer is expected: the scenario cannot fail`},
		{"A> end", `:5: nobody hears the answer of A`},
		{"A> end\nA> end\nA< ok", `:6: A has not answered line 5`},

		// Commands and answers.
		{"A> sing", `:5: a peer is not told to "sing"`},
		{"A> end\nA< ok n=1", `:6: `},
		{"B> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=-\n | ok n=1  # why", `:7: `},
		{"A> end\nA< err epipe", `:6: `},

		// What package contract knows: calls, answers, and their values.
		{"user A uid=0", `:5: user takes A or B, once, uid=N and nofile=N`},
		{"B> recv bytes=1x fds=1\nB< ok n=1 payload=00 fds=a", `:5: `},

		// Names.
		{"A> send payload=00 fds=b\nA< ok n=1", `:5: A has no "b"`},
		{"A> send payload=00 fds=a*x\nA< ok n=1", `:5: neither NAME*N nor NAME1..NAME9: "a*x"`},
		{"B> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=closed,a", `:6: no file is named "closed"`},
		{"B> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a:7", `:6: not a name: "7"`},
		{"B> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a:x\nB> close fds=a\nB< ok", `:7: B has no "a"`},

		// The runner's own lines.
		{"R< ok", `:5: the runner does not answer, and nobody waits for it`},
		{"R> dance", `:5: the runner has no "dance"`},
		{"R> eof a", `:5: eof a: drop comes before eof`},
		{"files f=file\nR> seek f=9223372036854775807", `:6: `},
		{"R> setsockopt B nonsense=1", `:5: no socket option: "nonsense"; options are acceptconn `},
		{"R> pos C a=1", `:5: pos is written as in "R> pos B x=32", not "pos C a=1"`},

		// What comes in an order that means nothing.
		{"R>& drop a", `:5: the runner does not answer, and nobody waits for it`},
		{ok + "A> send payload=00 fds=-\nA< ok n=1", `:7: A has ended the case: it is told nothing more`},
		{"R> kill B SIGKILL\nB> recv bytes=1 fds=1\nB< err", `:6: B was killed: it is told nothing more`},
		{"B>& recv bytes=1 fds=1\nR> kill B SIGKILL\nB<& err", `:7: B was asked nothing`},
		{"play sender\nB> signal fd=bsock signal=SIGUSR1\nB< ok", `:6: signal is for play kernel: a peer ends by it`},
		{"R> blocked B", `:5: B was asked nothing: blocked is for one that has a command to answer`},
		{"R> settled B", `:5: B was asked nothing: settled is for one that has a command to answer`},
	} {
		_, err := Parse("group/id", []byte(rule+"on stream\nfiles a=pipe-r\n"+c.text))
		if err == nil || !strings.HasPrefix(err.Error(), "group/id"+c.want) {
			t.Errorf("%q:\n got %v\nwant %s", c.text, err, c.want)
		}
	}
}

func TestParseScenarioNeedsItsHead(t *testing.T) {
	const steps, source = "on stream\nA> end\nA< ok\n", "the first two lines say the rule and its source"
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
