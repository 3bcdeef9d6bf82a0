package scenario

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/contract"
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
	if s.Name != "group/id" || s.Group() != "group" || s.Play != PlayReceiver || !s.RoomAny || len(s.Hash) != 12 {
		t.Errorf("got %+v", s)
	}
	if want := []string{"What must hold.", "Where that comes from.", "More of the rule."}; !reflect.DeepEqual(s.Rule, want) {
		t.Errorf("rule: got %q, want %q", s.Rule, want)
	}
	if want := []string{"stream", "dgram"}; !reflect.DeepEqual(s.Types, want) {
		t.Errorf("types: got %q, want %q", s.Types, want)
	}
	if !reflect.DeepEqual(s.Needs, []string{"root", "inq"}) || !reflect.DeepEqual(s.Users, map[Role]User{RoleA: {UID: 65534, NoFile: 64}}) {
		t.Errorf("needs %q, users %v", s.Needs, s.Users)
	}
	files := []FileSpec{{"a", RoleA, "pipe-r"}, {"b", RoleB, "file"}, {"c1", RoleA, "memfd"}, {"c2", RoleA, "memfd"}}
	if !reflect.DeepEqual(s.Files, files) {
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
	if !reflect.DeepEqual(steps, want) {
		t.Errorf("steps: got\n%s\nwant\n%s", strings.Join(steps, "\n"), strings.Join(want, "\n"))
	}
}

func TestHash(t *testing.T) {
	a, b := mustParse(t, simple), mustParse(t, strings.Replace(simple, "00", "01", 1))
	if a.Hash == b.Hash || a.Hash != mustParse(t, simple).Hash {
		t.Errorf("the hashes of two texts are %s and %s", a.Hash, b.Hash)
	}
}

// Each of these texts comes after the rule, "on stream" and "files a=pipe-r": its
// first line is line 5.
func TestParseScenarioErrors(t *testing.T) {
	const ok = "A> end\nA< ok\n"
	for _, c := range []struct{ text, want string }{
		// The form of a line.
		{"nonsense", `group/id:5: not a line of a transcript: "nonsense"`},
		{"\n\n nonsense", `group/id:7: not a line of a transcript: " nonsense"`},
		{"\r", `group/id:5: not text: "\r"`},
		{"A>", `group/id:5: not a line of a transcript: "A>"`},
		{"C> end", `group/id:5: no such role: "C"`},
		{"A>end", `group/id:5: no space after "A>"`},
		{"A>&", `group/id:5: not a line of a transcript: "A>&"`},
		{"A>&end", `group/id:5: no space after "A>"`},
		{"A>   # a reason", `group/id:5: no word in ""`},
		{"A> send  payload=00", `group/id:5: two spaces in "send  payload=00"`},
		{"A> send fds=a fds=a", `group/id:5: fds= twice in "send fds=a fds=a"`},
		{"A> end\nA< fine", `group/id:6: an answer is ok or err, not "fine"`},
		{"A> end\nA< unsupported", `group/id:6: an answer is ok or err, not "unsupported"`},
		{"A> end\nA<   # a reason", `group/id:6: no word in ""`},
		{" | ok  # a reason", `group/id:5: an alternative to nothing`},
		{"A> end\n | ok  # a reason", `group/id:6: an alternative to nothing`},
		{"A> end\nA< ok\n | err lib", `group/id:7: an alternative needs a reason: "err lib"`},
		{"A> end\nA< ok\n | err lib  #", `group/id:7: an alternative needs a reason: "err lib"`},
		{"A> end\nA< ok\n | maybe  # a reason", `group/id:7: an answer is ok or err, not "maybe"`},

		// Directives.
		{"on tcp", `group/id:5: no such socket type: "tcp"`},
		{"on dgram  seqpacket", `group/id:5: no such socket type: ""`},
		{"on dgram dgram", `group/id:5: dgram twice`},
		{"on stream", `group/id:5: stream twice`},
		{"play", `group/id:5: play takes one word`},
		{"play solo pair", `group/id:5: play takes one word`},
		{"play along", `group/id:5: no such way to play: "along"`},
		{"nonsense  # why", `group/id:5: not a line of a transcript: "nonsense  # why"`},
		{"  # indented", `group/id:5: not a line of a transcript: "  # indented"`},
		{"on dgram # one space", `group/id:5: no such socket type: "#"`},
		{"room", `group/id:5: the only room is any`},
		{"room 4096", `group/id:5: the only room is any`},
		{"waits", `group/id:5: who waits is A or B`},
		{"waits C", `group/id:5: who waits is A or B`},
		{"files b", `group/id:5: not a file: "b"; kinds are ` + kindNames()},
		{"files b=door", `group/id:5: not a file: "b=door"; kinds are ` + kindNames()},
		{"files b@R=file", `group/id:5: no such owner: "R"`},
		{"files b@=file", `group/id:5: no such owner: ""`},
		{"files 7=file", `group/id:5: not a name: "7"`},
		{"files closed=file", `group/id:5: not a name: "closed"`},
		{"files b1..b=file", `group/id:5: not NAME1..NAME9: "b1..b"`},
		{"user A uid=4294967296", `group/id:5: uid=4294967296 is no number from 1 to 2147483647`},
		{"user A uid=1 nofile=1025", `group/id:5: nofile=1025 is no number from 1 to 1024`},
		{"files b0..b998=file\nfiles c=file", `group/id:6: more than 1000 files`},

		// The whole.
		{"", `group/id: no steps`},
		{"files a=dir\n" + ok, `group/id: two files are named "a"`},
		{"files b*2=dir\n" + ok, `group/id: two files are named "b"`},
		{"R> drop a", `group/id: no answer is expected: the scenario cannot fail`},
		{"A> end", `group/id:5: nobody hears the answer of A`},
		{ok + "B>& end", `group/id:7: nobody hears the answer of B`},
		{"A> end\nA> end\nA< ok", `group/id:6: A has not answered line 5`},
		{"A>& end\nA> end\nA<& ok", `group/id:6: A has not answered line 5`},
		{"A< ok", `group/id:5: A was asked nothing`},
		{"A> end\nB< ok", `group/id:6: B was asked nothing`},
		{ok + "A< ok", `group/id:7: A was asked nothing`},

		// Commands and answers.
		{"A> sing", `group/id:5: a peer is not told to "sing"`},
		{"A> hello\nA< ok", `group/id:5: a peer is not told to "hello"`},
		{"A> end\nA< ok n=1", `group/id:6: no answer to end has n=`},
		{"A> send payload=00 fds=-\nA< ok", `group/id:6: no n= in the answer to send`},
		{"A> send payload=00 fds=-\nA< ok n=1 eof", `group/id:6: no answer to send has the word eof`},
		{"B> recv bytes=1 fds=1\nB< ok n=1 payload=00", `group/id:6: no fds= in the answer to recv`},
		{"B> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=- fd=a", `group/id:6: no answer to recv has fd=`},
		{"B> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=-\n | ok n=1  # why", `group/id:6: no payload= in the answer to recv`},
		{"A> end\nA< err EPIPE EBADF", `group/id:6: an error is err and its name`},
		{"A> end\nA< err 0", `group/id:6: 0 is no errno`},
		{"A> end\nA< err a", `group/id:6: a is no errno`},
		{"A> end\nA< err EPIPES", `group/id:6: EPIPES is no errno`},
		{"A> end\nA< ok\nB> end\nB< ok\n | err 4096  # why", `group/id:8: 4096 is no errno`},
		{"A> end\nA< err n=1", `group/id:6: an error is err and its name`},

		// Values, which who is told could not read.
		{"A> send payload=68656c6c6 fds=a\nA< ok n=4", `group/id:5: payload=68656c6c6 cannot be read by who is told to send`},
		{"A> send payload=0G fds=a\nA< ok n=1", `group/id:5: payload=0G cannot be read by who is told to send`},
		{"A> send payload=@0 fds=a\nA< ok n=0", `group/id:5: payload=@0 cannot be read by who is told to send`},
		{"A> send payload=@67108864,00 fds=a\nA< ok n=1", `group/id:5: payload=@67108864,00 cannot be read by who is told to send`},
		{"A> send payload=00 fds=a at=01\nA< ok n=1", `group/id:5: at=01 cannot be read by who is told to send`},
		{"A> send payload=00\nA< ok n=1", `group/id:5: send takes payload=P fds=x,… [at=K] [flags=F]`},
		{"A> send payload=00 fds=a color=red\nA< ok n=1", `group/id:5: send takes no color=`},
		{"B> recv fds=1\nB< ok n=1 payload=00 fds=a", `group/id:5: recv takes bytes=N fds=N [at=K] [flags=F]`},
		{"A> send payload=00 fds=a now\nA< ok n=1", `group/id:5: send takes no word now`},
		{"A> end fds=a\nA< ok", `group/id:5: end takes no fds=`},
		{"A> send payload=00 fds=\nA< ok n=1", `group/id:5: fds= cannot be read by who is told to send`},
		{"A> send payload=00 fds=4294967296\nA< ok n=1", `group/id:5: fds=4294967296 cannot be read by who is told to send`},
		{"A> send payload=00 fds=a flags=peek\nA< ok n=1", `group/id:5: flags=peek cannot be read by who is told to send`},
		{"B> recv bytes=1x fds=1\nB< ok n=1 payload=00 fds=a", `group/id:5: bytes=1x cannot be read by who is told to recv`},
		{"B> recv bytes=1 fds=a\nB< ok n=1 payload=00 fds=a", `group/id:5: fds=a cannot be read by who is told to recv`},
		{"B> recv bytes=1 fds=1 flags=nosignal\nB< ok n=1 payload=00 fds=a", `group/id:5: flags=nosignal cannot be read by who is told to recv`},
		{"B> recv bytes=1 fds=1\nB< ok n=1 payload=0 fds=a", `group/id:6: payload=0 is in no answer to recv`},
		{"B> recv bytes=9 fds=1\nB< ok n=9 payload=@9 fds=a", `group/id:6: payload=@9 is in no answer to recv`},
		{"B> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a flags=dontwait", `group/id:6: dontwait is no flag`},
		{"play kernel\nB> recvmsg bytes=1\nB< ok n=1 payload=00 flags=dontwait", `group/id:7: flags=dontwait is in no answer to recvmsg`},
		{"play kernel\nB> recvmsg bytes=1\nB< ok n=1 payload=00 controllen=much", `group/id:7: controllen=much is in no answer to recvmsg`},
		{"play kernel\nB> dup fd=bsock\nB< ok fd=bsock,bsock", `group/id:7: fd=bsock,bsock is in no answer to dup`},
		{"play kernel\nB> dup fd=bsock\nB< ok", `group/id:7: no fd= in the answer to dup`},
		{"play kernel\nB> socketpair\nB< ok", `group/id:7: no fds= in the answer to socketpair`},
		{"play kernel\nB> dup fd=bsock\nB< ok fd=-", `group/id:7: fd=- is in no answer to dup`},
		{"B> recv bytes=1 fds=1\nB< ok n=one payload=00 fds=a", `group/id:6: n=one is in no answer to recv`},
		{"play kernel\nA> sendmsg payload=00 control=rights(a\nA< ok n=1", `group/id:6: control=rights(a cannot be read by who is told to sendmsg`},
		{"play kernel\nA> sendmsg payload=00 control=rights(a):len=x\nA< ok n=1", `group/id:6: control=rights(a):len=x cannot be read by who is told to sendmsg`},
		{"play kernel\nA> sendmsg payload=00 control=cmsg(1,2,0)\nA< ok n=1", `group/id:6: control=cmsg(1,2,0) cannot be read by who is told to sendmsg`},
		{"play kernel\nA> sendmmsg payload=00|0 control=-|creds()\nA< ok n=2", `group/id:6: payload=00|0 cannot be read by who is told to sendmmsg`},
		{"play kernel\nB> recvmsg bytes=1 control=space(1\nB< ok", `group/id:6: control=space(1 cannot be read by who is told to recvmsg`},
		{"play kernel\nB> recvmsg bytes=1 fill=rights(1\nB< ok", `group/id:6: fill=rights(1 cannot be read by who is told to recvmsg`},
		{"play kernel\nB> recvmsg bytes=1 controllen=12+\nB< ok", `group/id:6: controllen=12+ cannot be read by who is told to recvmsg`},
		{"play kernel\nB> recvmsg bytes=1 flags=sideways\nB< ok", `group/id:6: flags=sideways cannot be read by who is told to recvmsg`},

		// Names.
		{"A> send payload=00 fds=b\nA< ok n=1", `group/id:5: A has no "b"`},
		{"B> send payload=00 fds=a\nB< ok n=1", `group/id:5: B has no "a"`},
		{"A> send payload=00 fds=a*x\nA< ok n=1", `group/id:5: not NAME*N: "a*x"`},
		{"A> send payload=00 fds=a*1001\nA< ok n=1", `group/id:5: "a*1001" stands for more than 1000 names`},
		{"B> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=b", `group/id:6: no file is named "b"`},
		{"B> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=12", `group/id:6: no file is named "12"`},
		{"B> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=closed,a", `group/id:6: no file is named "closed"`},
		{"B> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=closed:0", `group/id:6: no file is named "closed"`},
		{"B> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a:7", `group/id:6: not a name: "7"`},
		{"B> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a..b", `group/id:6: not NAME1..NAME9: "a..b"`},
		{"B> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a:x\nB> close fds=a\nB< ok", `group/id:7: B has no "a"`},

		// The runner's own lines.
		{"R< ok", `group/id:5: the runner does not answer`},
		{"R> dance", `group/id:5: the runner has no "dance"`},
		{"R> pos", `group/id:5: pos takes ROLE NAME=OFFSET`},
		{"R> drop a a", `group/id:5: drop takes FILE`},
		{"R> drop b", `group/id:5: no file is named "b"`},
		{"R> eof b", `group/id:5: no file is named "b"`},
		{"files m=memfd\nR> eof m", `group/id:6: "m" is a memfd, which has no other end`},
		{"files p=pipe-r q=end:p\nR> drop p\nR> drop q\nR> eof p", `group/id:8: the other end of "p" is a file of the case: eof is told of an end that the runner has`},
		{"files p=pipe-r q=end:p\nR> drop p\nR> drop q\nR> eof q", `group/id:8: "q" is a end:p, which has no other end`},
		{"R> eof a", `group/id:5: eof a: drop comes before eof, and not before seek`},
		{"files f=file\nR> drop f\nR> seek f=1", `group/id:7: seek f: drop comes before eof, and not before seek`},
		{"R> seek b=1", `group/id:5: no file is named "b"`},
		{"R> seek a=x", `group/id:5: a=x is not FILE=OFFSET`},
		{"R> pending R", `group/id:5: no such role: "R"`},
		{"R> pos C a=1", `group/id:5: no such role: "C"`},
		{"R> pos B a=1", `group/id:5: B has no "a"`},
		{"R> pos A a", `group/id:5: a is not NAME=OFFSET`},
		{"R> setsockopt B passcred", `group/id:5: passcred is not OPTION=VALUE`},
		{"R> limit B nofile=three", `group/id:5: a limit is nofile=+N, nofile=N or nofile=-, of at most 1024, not "nofile=three"`},
		{"R> limit B nofile=+-1", `group/id:5: a limit is nofile=+N, nofile=N or nofile=-, of at most 1024, not "nofile=+-1"`},

		// What comes in an order that means nothing.
		{"R>& drop a", `group/id:5: nobody waits for the runner: R> has no &`},
		{"A> end\nA<& ok", `group/id:6: A<& hears the answer to A>&, and A< that to A>`},
		{"A>& end\nA< ok", `group/id:6: A<& hears the answer to A>&, and A< that to A>`},
		{ok + "A> send payload=00 fds=-\nA< ok n=1", `group/id:7: A has ended the case: it is told nothing more`},
		{ok + "R> limit A nofile=3", `group/id:7: A has ended the case: it is told nothing more`},
		{"R> kill B SIGKILL\nB> recv bytes=1 fds=1\nB< err", `group/id:6: B was killed: it is told nothing more`},
		{"R> kill B SIGKILL\nR> blocked B", `group/id:6: B was killed: it is told nothing more`},
		{"R> kill B SIGKILL\nR> limit B nofile=+0", `group/id:6: B was killed: it is told nothing more`},
		{"R> kill B SIGKILL\nR> kill B SIGCONT", `group/id:6: B was killed: it is told nothing more`},
		{"R> kill A SIGKILL\nR> pos A a=0", `group/id:6: A was killed: it is told nothing more`},
		{"R> kill B SIGKILL\nR> unreported B a", `group/id:6: B was killed: it is told nothing more`},
		{"B>& recv bytes=1 fds=1\nR> kill B SIGKILL\nB<& err", `group/id:7: B was asked nothing`},
		{"play sender\nB> signal fd=bsock signal=SIGUSR1\nB< ok", `group/id:6: signal is for play kernel: a peer ends by it`},
		{"R> blocked B", `group/id:5: B was asked nothing: blocked is for one that has a command to answer`},
		{"A>& send payload=00 fds=a\nR> blocked B", `group/id:6: B was asked nothing: blocked is for one that has a command to answer`},
		{"A> close fds=a\nA< ok\nR> pos A a=0", `group/id:7: A was told to close "a"`},
		{"A> close fds=a\nA< ok\nR> flags A a=-", `group/id:7: A was told to close "a"`},
		{"A> close fds=a\nA< ok\nA> close fds=a\nA< ok", `group/id:7: A was told to close "a"`},
		{"A> close fds=a*2\nA< ok", `group/id:5: A was told to close "a"`},
		{"A> close fds=12\nA< ok", `group/id:5: A has no "12"`},
		{"B> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a\n | err lib  # why\nB> close fds=a\nB< ok", `group/id:8: B may have no "a": not every answer of line 6 gives it`},
		{"B> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a:x\n | ok n=1 payload=00 fds=a:y  # why\nR> flags B y=-", `group/id:8: B may have no "y": not every answer of line 6 gives it`},
		{"B> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a\n | err  # why\nB> send payload=00 fds=a\nB< ok n=1", `group/id:8: B may have no "a": not every answer of line 6 gives it`},
		{"B> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a,a:x,fewer\nB> close fds=x", `group/id:7: B has no "x"`},
		{"B> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a,fewer", `group/id:6: no file is named "fewer"`},
		{"B> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a,a:x,closed,fewer", `group/id:6: no file is named "closed"`},
		{"play kernel\nA> dup fd=a\nA< ok fd=new:x\n | err EMFILE  # why\nA> dup fd=x\nA< ok fd=new:y", `group/id:9: A may have no "x": not every answer of line 7 gives it`},
		{"files f=file\nR> seek f=9223372036854775807", `group/id:6: an offset is from 0 to 2147483647: f=9223372036854775807`},
		{"R> seek a=1", `group/id:5: "a" is a pipe-r, which has no offset to set`},
		{"R> drop asock", `group/id:5: no file is named "asock"`},
		{"R> drop a\nR> eof a", `group/id:6: eof a: A has "a" open, and was not told to close it`},
		{"B> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a:x\nA> end\nA< ok\nR> drop a\nR> eof a", `group/id:10: eof a: B has "x" open, and was not told to close it`},
		{"R> flags A a=-,nonblock", `group/id:5: status flags are append, nonblock, both or -, not "-,nonblock"`},
		{"R> limit B nofile=1025", `group/id:5: a limit is nofile=+N, nofile=N or nofile=-, of at most 1024, not "nofile=1025"`},
		{"R> limit B -", `group/id:5: a limit is nofile=+N, nofile=N or nofile=-, of at most 1024, not "-"`},
		{"R> setsockopt B type=1", `group/id:5: type=1 cannot be set`},
		{"R> setsockopt B passcred=2", `group/id:5: passcred=2 cannot be set`},
		{"R> setsockopt B sndbuf=99999999999", `group/id:5: sndbuf=99999999999 cannot be set`},
	} {
		_, err := Parse("group/id", []byte(rule+"on stream\nfiles a=pipe-r\n"+c.text))
		if err == nil || err.Error() != c.want {
			t.Errorf("%q:\n got %v\nwant %s", c.text, err, c.want)
		}
	}
}

// Scenarios of others are played too: what they do to files by name is done below the
// folder of the case.
func TestPathsStayBelow(t *testing.T) {
	for _, call := range []string{
		"unlink path=/etc/passwd", "unlink path=../f", "unlink path=d/../../f", "unlink path=d//f", "mkdir path=/tmp/d", "chmod path=/etc/passwd mode=0666",
		"chown path=.. uid=1", "rename path=f to=/etc/passwd", "rename path=../f to=f", "link fd=0 path=../f", "chdir path=/", "chdir path=..",
		"open path=/etc/passwd", "open path=/proc/self/mem flags=rdwr", "open path=/proc/self/comm/../mem", "open path=..", "open dir=0 path=/proc/self/comm", "open dir=0 path=../f",
		"bind sock=0 name=path:/tmp/s", "connect sock=0 name=path:../s", "sendmsg payload=00 name=path:/run/s",
	} {
		_, err := Parse("group/id", []byte(rule+"on stream\nplay kernel\nA> "+call+"\nA< err\n"))
		if err == nil || !strings.HasSuffix(err.Error(), " is not below the folder of the case") {
			t.Errorf("%s: %v", call, err)
		}
	}
	for _, call := range []string{"unlink path=d/f", "open path=/proc/self/comm", "open dir=0 path=..", "bind sock=0 name=path:...", "bind sock=0 name=abstract:/x", "chdir path=."} {
		if _, err := Parse("group/id", []byte(rule+"on stream\nplay kernel\nA> "+call+"\nA< err\n")); err != nil {
			t.Errorf("%s: %v", call, err)
		}
	}
}

// What no system has is found when a scenario is read, and not when it is played.
func TestNamesThatThereAreNot(t *testing.T) {
	for line, want := range map[string]string{
		"R> setsockopt B nonsense=1":          `no socket option: "nonsense"; options are `,
		"R> kill B SIGFOO":                    `no signal: "SIGFOO"; signals are `,
		"R> kill B sigusr1":                   `no signal: "sigusr1"; signals are `,
		"R> seek a=-5":                        "an offset is from 0 to 2147483647: a=-5",
		"A> setsockopt frobnicate=1\nA< ok":   "frobnicate=1 cannot be read",
		"A> setsockopt passcred=on\nA< ok":    "passcred=on cannot be read",
		"A> getsockopt option=humor\nA< ok":   "option=humor cannot be read",
		"A> signal fd=a signal=SIGFOO\nA< ok": "signal=SIGFOO cannot be read",
	} {
		_, err := Parse("group/id", []byte(rule+"on stream\nplay kernel\nfiles a=file\nB> end\nB< ok\n"+line+"\n"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// Each call is one that the runner's side can make: with the fields of one way to make it,
// and values that it can read.
func TestCallsThatNobodyCanMake(t *testing.T) {
	for _, c := range []struct{ calls, want string }{
		{"sendmsg;sendmsg control=rights(a)", "sendmsg takes payload=P [control=C] [controllen=N] [flags=F] [name=A] [sock=x] [at=K]"},
		{"recvmsg control=0", "recvmsg takes bytes=N"},
		{"dup;dup fd=a sock=a;listen fd=a;stat sock=a", " takes "},
		{"connect;connect name=auto fd=a", "connect takes [sock=x] name=A, or [sock=x] fd=y"},
		{"fcntl fd=a;fcntl fd=a get=fl set=fl:-", "fcntl takes fd=x get=fl, or fd=x set=fl:nonblock"},
		{"setuid;setuid uid=1 pid=A", "setuid takes uid=N, or pid=A"},
		{"setsockopt;setsockopt sock=a", "setsockopt takes [sock=x] NAME=VALUE…"},
		{"sockname now", "sockname takes no word now"},

		{"dup fd=-;dup fd=a,a;dup fd=a*2;dup fd=99999999999", "fd="},
		{"splice fds=a bytes=1;splice fds=a,a,a bytes=1;splice fds=- bytes=1;sendfile fds=a bytes=1;epoll fds=a", "fds="},
		{"adopt fds=-", "fds="},
		{"splice fds=a,a bytes=x;sendfile fds=a,a bytes=99999999999;read fd=a bytes=-1;recvmmsg bytes=bad;recvmmsg bytes=1|;recvmmsg bytes=67108864|1", "bytes="},
		{"sendmmsg payload=bad;sendmmsg payload=none;sendmmsg payload=@67108864|00;write fd=a payload=0", "payload="},
		{"sendmsg payload=00 at=-1;read fd=a bytes=1 at=99999999999;write fd=a payload=00 at=0x1", "at="},
		{"sendmsg payload=00 flags=inherit;sendmmsg payload=00 flags=inherit;recvmmsg bytes=1 flags=none;open path=f flags=wide", "flags="},
		{"sendmsg payload=00 control=hex(00):len=1;sendmsg payload=00 control=rights(4294967296);sendmsg payload=00 control=cmsg(4294967296,1,-);sendmsg payload=00 control=rights(a)x", "control="},
		{"sendmsg payload=00 control=rights(a):len=-5;sendmsg payload=00 control=1000000000*rights();recvmsg bytes=1 control=0x7fffffff;recvmsg bytes=1 control=edge(0-5)", "control="},
		{"recvmsg bytes=1 control=0-1;recvmsg bytes=1 control=len(x);recvmsg bytes=1 control=-5;recvmmsg bytes=1 control=null;recvmmsg bytes=1|1 control=0", "control="},
		{"sendmmsg payload=00|00 control=rights(a);sendmmsg payload=00 control=6000000*cmsg(9,9,-)", "control="},
		{"sendmsg payload=00 control=creds() controllen=4096;recvmsg bytes=1 controllen=1;recvmsg bytes=1 control=24 controllen=25;recvmsg bytes=1 controllen=0-1", "controllen="},
		{"bind name=here;bind name=auto:x;bind name=inet:x;bind name=inet:65536;sendmsg payload=00 name=auto;sendmsg payload=00 name=inet:1;connect name=", "name="},
		{"socket type=tcp;socketpair type=", "type="},
		{"socket family=inet6", "family="},
		{"listen backlog=x;listen backlog=99999999999", "backlog="},
		{"shutdown how=now;epoll fds=a,a how=level;lock fd=a how=twice", "how="},
		{"lock fd=a how=none kind=flok", "kind="},
		{"setsockopt passcred=99999999999", "passcred="},
		{"getsockopt option=linger", "option="},
		{"poll events=in,sideways", "events="},
		{"poll events=in wait=1;epollwait fd=a wait=ja", "wait="},
		{"fcntl fd=a get=size", "get="},
		{"fcntl fd=a set=fl;fcntl fd=a set=fd:nonblock;fcntl fd=a set=pipe_sz:x;fcntl fd=a set=size:1", "set="},
		{"seal fd=a seals=all", "seals="},
		{"lseek fd=a offset=end;lseek fd=a offset=99999999999", "offset="},
		{"truncate fd=a size=x", "size="},
		{"mmap fd=a prot=exec", "prot="},
		{"signal fd=a signal=SIGKILL;signal fd=a signal=SIGTERM", "signal="},
		{"chmod path=f mode=600;chmod path=f mode=00640;chmod path=f mode=07;mkdir path=d mode=0800;open path=f mode=rw", "mode="},
		{"chown path=f uid=-1;setuid uid=root", "uid="},
		{"setuid pid=C", "pid="},
	} {
		for call := range strings.SplitSeq(c.calls, ";") {
			_, err := Parse("group/id", []byte(rule+"on stream\nplay kernel\nfiles a=file\nA> "+call+"\nA< ok\n"))
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), " cannot be read ") && !strings.Contains(err.Error(), " takes ") {
				t.Errorf("%s: got %v, want %s", call, err, c.want)
			}
		}
	}
}

// An expected answer of the runner's side is one that it can give.
func TestAnswersThatNobodyGives(t *testing.T) {
	for _, c := range []struct{ call, right, wrong string }{
		{"recvmsg bytes=1", "n=1;n=*", "n=-1;n=x"},
		{"recvmsg bytes=1", "payload=00;payload=-;payload=*;payload=!3", "payload=00,00;payload=@9;payload=00|00"},
		{"recvmsg bytes=1", "flags=-;flags=ctrunc,eor;flags=0x2000;flags=*", "flags=;flags=ctrunc,-;flags=eor,eor;flags=*,eor;flags=peek"},
		{"recvmsg bytes=1", "controllen=0;controllen=space(1)+creds;controllen=*", "controllen=-;controllen=0-1;controllen=space(x)"},
		{"recvmsg bytes=1", "control=-;control=*;control=rights*1;control=creds(A),rights*253,pidfd;control=creds(B,0,0);control=creds(1,-1,65534);control=creds:8;" +
			"control=pidfd(-24);control=inq(0);control=timestamp,security;control=cmsg(270,3,00ff);control=cmsg(1,9,-)",
			"control=;control=rights;control=rights(a);control=rights(1);control=rights*;control=rights*01;control=creds;control=creds();control=creds(A,B,0);control=creds(R);control=creds(1,2);" +
				"control=creds:12;control=pidfd(3);control=pidfd(a);control=inq;control=inq(0x1);control=-,pidfd;control=rights*1,;control=rights*1|-;control=*,pidfd;control=cmsg(1,2,0);control=hex(00)"},
		{"recvmmsg bytes=1|1", "payload=00|01;payload=*;control=*;control=-|pidfd;control=rights*1,pidfd|creds(A);pidfd=new:p,new:q;fds=-", "payload=*|00;control=*|-;control=-|;control=pidfd|rights;pidfd=-;flags=-"},
		{"recvmsg bytes=1", "name=-;name=path:x;name=abstract:;name=abstract:x;name=*", "name=;name=auto;name=x;name=path:;name=inet:x;name=inet:65536"},
		{"sockname", "name=inet:1", "name=inet"},
		{"peercred", "creds=creds(A);creds=creds(B,0,0);creds=creds(1,2,3);creds=*", "creds=A;creds=-;creds=creds:8;creds=creds(A),creds(B)"},
		{"getsockopt option=type", "value=1;value=-1;value=*", "value=stream;value=0x10;value=-;value=01;value=1,2"},
		{"getsockopt option=rcvtimeo", "value=600000", "value=10ms"},
		{"fcntl fd=a get=fl", "value=-;value=rdwr,nonblock;value=*", "value=2;value=;value=rdonly;value=cloexec,;value=rdwr,rdwr"},
		{"fcntl fd=a get=fd", "value=-;value=cloexec", "value=1;value=rdwr"},
		{"fcntl fd=a get=pipe_sz", "value=4096", "value=4,096;value=-"},
		{"fcntl fd=a get=owner", "value=0;value=-7", "value=A"},
		{"fcntl fd=a set=fl:-", "", "value=-;value=*"},
		{"accept", "fd=new:x name=-", "name=-"},
		{"queued", "in=1 out=0;in=*", "in=x;out=-1"},
		{"poll events=in", "events=-;events=hup,in;events=*", "events=;events=in,in;events=in,-;events=in,out,sideways"},
		{"seal fd=a", "seals=-;seals=write,shrink;seals=*", "seals=;seals=writes;seals=write,write"},
		{"lseek fd=a", "value=0;value=*", "value=-1;value=end"},
		{"stat fd=a", "kind=file mode=0640 size=5000000000 links=0 uid=4294967295;mode=0;mode=04755;mode=*;kind=*",
			"kind=pipe;mode=640;mode=00640;mode=0o640;size=4,096;size=4k;size=-1;links=x;uid=root"},
		{"pidof fd=a", "pid=A;pid=B;pid=1;pid=-1;pid=*", "pid=R;pid=-2;pid=new"},
		{"inherited fd=a", "open=yes;open=no;open=*", "open=false;open=1"},
		{"dup fd=a", "fd=a:x;fd=new:x", "n=1;fd=;fd=-;fd=*;fd=a,a;fd=a*1;fd=closed;fd=x1..x2"},
		{"socketpair", "fds=new:x,new:y", "fds=new:x;fds=-;fds=new:x,closed"},
		{"sendmsg payload=00", "n=1;n=*", "n=;payload=00"},
		{"recvmsg bytes=1", "fds=-;fds=a,a:x", "fds=closed;fds=a,closed:1"},
	} {
		for i, answers := range []string{c.right, c.wrong} {
			for answer := range strings.SplitSeq(answers, ";") {
				_, err := Parse("group/id", []byte(rule+"on stream\nplay kernel\nfiles a=file\nA> "+c.call+"\nA< ok "+answer+"\n"))
				switch refused := err != nil && strings.HasPrefix(err.Error(), "group/id:7: "); {
				case answer == "":
				case i == 0 && err != nil:
					t.Errorf("%s: %s: %v", c.call, answer, err)
				case i == 1 && !refused:
					t.Errorf("%s: %s: got %v, want an error", c.call, answer, err)
				}
			}
		}
	}
}

func TestParseScenarioNeedsItsHead(t *testing.T) {
	const steps = "on stream\nA> end\nA< ok\n"
	for _, c := range []struct{ text, want string }{
		{"", "group/id: the first two lines say the rule and its source"},
		{steps, "group/id: the first two lines say the rule and its source"},
		{"# A rule.\n" + steps + "# and its source, too late\n", "group/id: the first two lines say the rule and its source"},
		{"# A rule.\n#\n" + steps, "group/id: the first two lines say the rule and its source"},
		{"\n" + rule + steps, "group/id: the first two lines say the rule and its source"},
		{rule + "A> end\nA< ok\n", "group/id: no socket types"},
		{rule + "on\nA> end\nA< ok\n", "group/id: no socket types"},
	} {
		_, err := Parse("group/id", []byte(c.text))
		if err == nil || err.Error() != c.want {
			t.Errorf("%q:\n got %v\nwant %s", c.text, err, c.want)
		}
	}
}

// write is a scenario as a transcript again.
func write(s *Scenario) string {
	var b strings.Builder
	for _, r := range s.Rule {
		fmt.Fprintf(&b, "# %s\n", r)
	}
	fmt.Fprintf(&b, "on %s\nplay %s\n", strings.Join(s.Types, " "), s.Play)
	if s.RoomAny {
		b.WriteString("room any\n")
	}
	if len(s.Needs) > 0 {
		fmt.Fprintf(&b, "needs %s\n", strings.Join(s.Needs, " "))
	}
	for role, u := range s.Users {
		fmt.Fprintf(&b, "user %s uid=%d", role, u.UID)
		if u.NoFile > 0 {
			fmt.Fprintf(&b, " nofile=%d", u.NoFile)
		}
		b.WriteString("\n")
	}
	for _, f := range s.Files {
		fmt.Fprintf(&b, "files %s@%s=%s\n", f.Name, f.Owner, f.Kind)
	}
	for _, st := range s.Steps {
		fmt.Fprintf(&b, "%s%c%s %s", st.Role, st.Kind, Async(st), st.Text)
		for i, w := range st.Wants {
			if i > 0 {
				b.WriteString("\n | ")
			}
			b.WriteString(w.Text)
			if w.Reason != "" {
				fmt.Fprintf(&b, "  # %s", w.Reason)
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

// A transcript that is accepted says the same when it is written again, and all
// that is asked of it before it is played has an answer.
func FuzzParseScenario(f *testing.F) {
	f.Add(simple)
	f.Add(rule + "on seqpacket\nplay solo\nroom any\nfiles a1..a3=memfd b@B=pair\nB>& recv bytes=1,2 fds=3 flags=peek\n" +
		"A> send payload=@9,00 fds=a1..a3\nA< ok n=10\nB<& ok n=10 payload=- fds=a1:x,a2,closed:1  # why\n | ok n=10 payload=- fds=a2:x,a3  # why not\n" +
		"R> pos B x=3\nR> drop b\nB> close fds=b,x\nB< ok\nR> eof b\nR> limit B nofile=+2\nR> limit B nofile=-\nR> pending A\nR> seek a1=4\nR> setsockopt B passcred=1\n")
	f.Add(rule + "on stream dgram\nplay kernel\nneeds root passrights\nuser A uid=65534 nofile=64\nuser B uid=1\nfiles a=pipe-r b@B=end:a\n" +
		"A>& sendmsg payload=00 control=rights(a,asock):len=15,1000*cmsg(1,2,00) controllen=space(2)-1\nR> blocked A\nA<& err EINVAL\n" +
		"B> recvmsg bytes=1 control=space(1)+creds fill=rights(b)\nB< ok n=* payload=00 fds=a:x pidfd=new:p control=creds(A),rights*1 flags=ctrunc\n" +
		"A> socket type=dgram\nA< ok fd=new:s\nA> bind sock=s name=path:s\nA< ok\nR> kill B SIGSTOP\nR> kill B SIGCONT\nR> kill B SIGUSR1\nR> kill B SIGKILL\n")
	f.Add(rule + "on stream\r\nA> end\nA< ok\n")
	f.Add(rule + "on stream\nfiles a*99999999999=dir\nA> end\nA< ok\n")
	f.Add(rule + "on stream\nfiles a=pipe-r\nA> send payload=@9223372036854775807,@9223372036854775807 fds=a,a*9223372036854775807\nA< ok n=1\n")
	f.Add(rule + "on stream\nfiles a1=pipe-r\nA> send payload=00 fds=a1,a0..a9223372036854775807\nA< ok n=1\n")
	f.Add(rule + "on stream\nfiles a9223372036854775806..a9223372036854775807=pipe-r\nA> send payload=00 fds=a9223372036854775807\nA< ok n=1\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse("group/id", []byte(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "group/id:") {
				t.Fatalf("the error does not begin with the name: %v", err)
			}
			return
		}
		again, err := Parse("group/id", []byte(write(s)))
		if err != nil {
			t.Fatalf("written again it is refused: %v\n%s", err, write(s))
		}
		again.Hash = s.Hash
		for i := range again.Steps {
			again.Steps[i].Line = s.Steps[i].Line
		}
		if !reflect.DeepEqual(s, again) {
			t.Fatalf("written again it is another:\n%+v\n%+v", s, again)
		}
		peer := &Peer{Name: "p", Hello: contract.Hello{Can: []string{"stream", "dgram", "seqpacket"}, Room: "4096,1"}}
		cases := Plan([]*Scenario{s}, []*Peer{peer}, &Peer{Name: "runner"})
		if len(cases) == 0 {
			t.Fatal("it is never played")
		}
		for _, c := range cases {
			c.Unplayable()
			c.Scenario.receives(RoleB)
		}
	})
}
