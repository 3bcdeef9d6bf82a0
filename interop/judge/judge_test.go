package judge

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/fact"
	"github.com/scm-rights/scm/interop/scenario"
)

// right is what happens if both peers are right.
const right = "A< ok n=1\nB< ok n=1 payload=00 fds=7 | 7=a\n"

// gc makes B a peer with a garbage collector, closes one that may close its socket when a call fails.
func gc(_, y *scenario.Peer)      { y.Hello.GC = true }
func closes(x, y *scenario.Peer)  { x.Hello.Closes, y.Hello.Closes = true, true }
func xCloses(x, _ *scenario.Peer) { x.Hello.Closes = true }

// receives makes B the runner.
func receives(_, y *scenario.Peer) { y.Name = scenario.RunnerName }

// playSender is passOne with a process of the runner as B.
var playSender = strings.Replace(passOne, "files", "play sender\nfiles", 1)

// onA is the beginning of a transcript in which A has the file a, kernelA of one with processes of the runner.
const (
	onA     = rule + "on stream\nfiles a=file\n"
	kernelA = rule + "on stream\nplay kernel\nfiles a=file\n"
)

// reset ends with a message and an error, which a library may swap.
const reset = rule + "on stream\nfiles a@B=file\nA> send payload=00 fds=-\nA< ok n=1\nA> recv bytes=1 fds=1\nA< ok n=1 payload=61 fds=a\n || err ECONNRESET  # the error first\n" +
	"A> recv bytes=1 fds=1\nA< err ECONNRESET\n | err EPIPE  # another error\n || ok n=1 payload=61 fds=a  # the error was first\n"

// passEither passes one of two files.
const passEither = passOne + " | ok n=1 payload=00 fds=b  # either\n"

// Each row is what happens in a case, and what the judge finds.
var rows = []struct {
	name, text, script string
	change             func(x, y *scenario.Peer)
	want               string
}{
	{"right", passOne, right, nil, ""},

	// What the answer says.
	{"other bytes", passOne, "A< ok n=1\nB< ok n=1 payload=01 fds=7 | 7=a", nil,
		"line 8: answer@y: answered \"ok n=1 payload=01 fds=7\"\nexpected ok n=1 payload=00 fds=a (payload is 01)"},
	{"unsupported, which can= offers", passOne, "A< unsupported", nil, `line 6: contract@x: answered unsupported to "send payload=00 fds=4", which a peer must support on each socket type in its can=, with a call of its own if its library has none`},
	{"another language", passOne, "A< yes", nil, `line 6: contract@x: an answer begins with ok or err, not yes: "yes"`},
	{"a library that no longer offers the other flags", rule + "on stream\nfiles a=file\nA> send payload=00 fds=a flags=dontwait\nA< ok n=1\n", "A< unsupported", nil,
		"unsupported: x: answered unsupported"},
	{"unsupported to a call of the runner's", kernelA + "A> read fd=a bytes=1\nA< ok n=1\n", "A< unsupported", nil, "unsupported: x: answered unsupported"},
	{"more was sent than the runner receives", passOne, "A< ok n=1\nB< ok n=1 payload=00 fds=7 flags=ctrunc | 7=a", receives,
		"line 8: answer@runner: answered \"ok n=1 payload=00 fds=7 flags=ctrunc\"\nexpected ok n=1 payload=00 fds=a (more was sent: the kernel reports ctrunc)"},
	{"more is sent than the runner receives, as the scenario says", passOne + " | ok n=1 payload=00 fds=a flags=ctrunc  # both\n", "A< ok n=1\nB< ok n=1 payload=00 fds=7 flags=ctrunc | 7=a", receives, ""},
	{"a peer has less room than the runner", passOne, "A< ok n=1\nB< ok n=1 payload=00 fds=7 flags=ctrunc | 7=a", nil, ""},
	{"either of two files", passEither, "A< ok n=1\nB< ok n=1 payload=00 fds=7 | 7=b", nil, ""},
	{"neither of two files", passEither, "A< ok n=1\nB< ok n=1 payload=00 fds=7 | 7=", nil, "line 8: file@y: 7 is not the open file description of a"},
	{"binary", passOne, "A< ok n=1\nB< (broken)", nil, "line 8: contract@y: not text"},
	{"a longer message was sent than the runner receives", passOne, "A< ok n=1\nB< ok n=1 payload=00 fds=7 flags=trunc | 7=a", receives,
		"line 8: answer@runner: answered \"ok n=1 payload=00 fds=7 flags=trunc\"\nexpected ok n=1 payload=00 fds=a (more was sent: the kernel reports trunc)"},
	{"the message, then the error", reset, "A< ok n=1\nA< ok n=1 payload=61 fds=7 | 7=a\nA< err EPIPE", nil, ""},
	{"the error, then the message", reset, "A< ok n=1\nA< err ECONNRESET\nA< ok n=1 payload=61 fds=7 | 7=a", nil, ""},
	{"the error twice", reset, "A< ok n=1\nA< err ECONNRESET\nA< err ECONNRESET", nil, "line 11: answer@x: answered \"err ECONNRESET\"\n" +
		"expected err ECONNRESET (an earlier answer belongs to the other order)\nexpected err EPIPE (the error is a different one)\nexpected ok n=1 payload=61 fds=a (not ok)"},
	{"the message twice", reset, "A< ok n=1\nA< ok n=1 payload=61 fds=7 | 7=a\nA< ok n=1 payload=61 fds=8 | 8=a", nil, "line 11: answer@x: answered \"ok n=1 payload=61 fds=8\"\n" +
		"expected err ECONNRESET (not err)\nexpected err EPIPE (not err)\nexpected ok n=1 payload=61 fds=a (an earlier answer belongs to the other order)"},
	{"the error, the message, and another answer", reset + "A> recv bytes=1 fds=0\nA< ok n=0 payload=- fds=-\n",
		"A< ok n=1\nA< err ECONNRESET\nA< ok n=1 payload=61 fds=7 | 7=a\nA< ok n=0 payload=- fds=-", nil, ""},
	{"another flag than the scenario says", passOne, "A< ok n=1\nB< ok n=1 payload=00 fds=7 flags=eor | 7=a", receives, ""},
	{"unsupported after an answer", passOne + "A> send payload=01 fds=b\nA< ok n=1\n", right + "A< unsupported", nil,
		`line 10: contract@x: answered unsupported to "send payload=01 fds=5", which a peer must support on each socket type in its can=, with a call of its own if its library has none`},
	{"the name of an abstract socket", kernelA + "A> sockname\nA< ok name=abstract:there\n", "A< ok name=abstract:p.there", nil, ""},
	{"a length in words", kernelA + "B> recvmsg bytes=1 control=space(1)\nB< ok n=1 payload=00 controllen=space(1)\n", "B< ok n=1 payload=00 controllen=24", nil, ""},
	{"any length", kernelA + "B> recvmsg bytes=1 control=space(1)\nB< ok n=1 payload=00 controllen=*\n", "B< ok n=1 payload=00 controllen=24", nil, ""},
	{"a process", kernelA + "A> pidof fd=9\nA< ok pid=A\n", "A< ok pid=7", nil, ""},
	{"another process", kernelA + "A> pidof fd=9\nA< ok pid=B\n", "A< ok pid=7", nil, "line 7: answer@x: answered \"ok pid=7\"\nexpected ok pid=B (pid is 7)"},
	{"the user of a process", kernelA + "A> peercred\nA< ok creds=creds(B)\n", "A< ok creds=creds(17,18,19)", nil, ""},
	{"the credentials of a process", kernelA + "B> recvmsg bytes=1 control=creds\nB< ok n=1 payload=00 control=creds(A)\n",
		"B< ok n=1 payload=00 control=creds(7,8,9)", nil, ""},
	{"a process whose user is not known", kernelA + "A> peercred\nA< ok creds=creds(B)\n", "A< ok creds=creds(17,0,0) | no-user", nil, "not run: line 7: no such process"},
	{"another answer to end", passOne, right + "end A no", nil, `contract@x: answered "no" to "end"`},

	{"either a file of the case or a new one", playSender + " | ok n=1 payload=00 fds=new:x  # a copy\n", "A< ok n=1\nB< ok n=1 payload=00 fds=7 | 7=", nil, ""},
	{"binary, and the runner's own", playSender, "A< ok n=1\nB< (broken)", nil, "not run: line 9: the answer of y is not text"},
	{"a full disk at the runner's side", playSender, "A< ok n=1\nB< err ENOSPC", nil, "not run: line 9: the runner's side answered \"err ENOSPC\""},
	{"a command that is too long", passOne, "A> (unsent)", nil, "not run: line 5: the command to x is longer than 9 bytes with its descriptors filled in"},

	{"a descriptor that is no number", passOne, "A< ok n=1\nB< ok n=1 payload=00 fds=7,x", nil, `line 8: contract@y: x is not a descriptor, and only the last item can be closed or closed:N: "ok n=1 payload=00 fds=7,x"`},
	{"an errno that has a line of its own", refusals, "A< err EIO\nA< unsupported", nil, `line 11: contract@x: answered unsupported to "send payload=00 fds=4", which a peer must support on each socket type in its can=, with a call of its own if its library has none`},
	{"an error of the library", refusals, "A< err lib closed\nA< unsupported", nil, "unsupported: x: answered unsupported"},
	{"the connection is gone", refusals, "A< err EPIPE\nA< unsupported", nil, "unsupported: x: answered unsupported"},
	{"the connection was reset", refusals, "A< err ECONNRESET\nA< unsupported", nil, "unsupported: x: answered unsupported"},
	{"an errno that may also be any", onA + "A> send payload=00 fds=a\nA< err EIO\n | err  # refused\nA> send payload=00 fds=a\nA< ok n=1\n", "A< err EIO\nA< unsupported", nil, `line 9: contract@x: answered unsupported to "send payload=00 fds=4", which a peer must support on each socket type in its can=, with a call of its own if its library has none`},
	{"a full quota at the runner's side", playSender, "A< ok n=1\nB< err EDQUOT", nil, "not run: line 9: the runner's side answered \"err EDQUOT\""},
	{"a read-only disk at the runner's side", playSender, "A< ok n=1\nB< err EROFS", nil, "not run: line 9: the runner's side answered \"err EROFS\""},
	{"a full table of files at the runner's side", playSender, "A< ok n=1\nB< err ENFILE", nil, "not run: line 9: the runner's side answered \"err ENFILE\""},
	{"a full disk at a peer", passOne, "A< err ENOSPC", nil, "line 6: answer@x: answered \"err ENOSPC\"\nexpected ok n=1 (not ok)"},

	// What the descriptors are.
	{"not close-on-exec", passOne, "A< ok n=1\nB< ok n=1 payload=00 fds=7 | 7=a!", nil, "cloexec@y: a received descriptor is not close-on-exec"},
	{"only the first is close-on-exec", passTwo, "A< ok n=1\nB< ok n=1 payload=00 fds=7,8 | 7=a 8=b!", nil, "cloexec@y: a received descriptor is not close-on-exec"},
	{"not close-on-exec by command", kernelA + "B> recvmsg bytes=1 control=space(1) flags=inherit\nB< ok n=1 payload=00 fds=a\n", "B< ok n=1 payload=00 fds=7 | 7=a!", nil, ""},
	{"its flags are not known", passOne, "A< ok n=1\nB< ok n=1 payload=00 fds=7 | 7=a~", nil, "line 8: file@y: 7: no such process"},
	{"another file", passOne, "A< ok n=1\nB< ok n=1 payload=00 fds=7 | 7=b", nil, "line 8: file@y: 7 is not the open file description of a"},
	{"not a file of the case", passOne, "A< ok n=1\nB< ok n=1 payload=00 fds=7 | 7=", nil, "line 8: file@y: 7 is not the open file description of a"},
	{"not open", passOne, "A< ok n=1\nB< ok n=1 payload=00 fds=7 | -7", nil, "line 8: file@y: 7 is not open: closed since"},
	{"two that are not open", passTwo, "A< ok n=1\nB< ok n=1 payload=00 fds=7,8 | -8", nil,
		"line 8: file@y: 7 is not open: no such file or directory\nline 8: file@y: 8 is not open: closed since"},
	{"a file by another name", onA + "B> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a:x\nB> close fds=x\nB< ok\n",
		"B< ok n=1 payload=00 fds=7 | 7=a\nB< ok | -7", nil, ""},
	{"a file that the runner's side has made", passMade, "A< ok fds=7,8 | 7= 8=\nB< ok n=1 payload=00 fds=9 | 9=s", nil, ""},
	{"a file that the runner's side has not made", passMade, "A< err EMFILE\nB< ok n=1 payload=00 fds=9 | 9=", nil,
		`line 9: file@y: the scenario has no file "s"`},
	{"a duplicate of what the runner's side has made", passMade, "A< ok fds=7,8 | 7= 8=\nB< ok n=1 payload=00 fds=9 | 9=s 8=s", nil,
		"line 9: leak@y: s, as 8, is open, and the peer did not report it"},
	{"what the runner's side has made is its input", passMade, "A< ok fds=7,8 | 7= 8=\nB< ok n=1 payload=00 fds=9 | 9=s 2=s", nil, ""},
	{"only the inode is known", passOne, "A< ok n=1\nB< ok n=1 payload=00 fds=7 | 7=a?", nil, ""},
	{"a descriptor that it has already", passOne, "A< ok n=1\nB< ok n=1 payload=00 fds=3 | 3=bsock", nil,
		"line 8: file@y: reported that it received 3, which it had already\nline 8: file@y: 3 is not the open file description of a"},
	{"its standard input", passOne, "A< ok n=1\nB< ok n=1 payload=00 fds=0 | 0=a\nend A | -3 -4 -5\nend B | -0 -3", nil,
		"line 8: file@y: reported that it received 0, which it had already"},
	{"-1", passOne, "A< ok n=1\nB< ok n=1 payload=00 fds=-1 | ", nil,
		"line 8: file@y: reported that it received -1, which it had already\nline 8: file@y: -1 is not open: no such file or directory"},
	{"one descriptor for two", rule + "on stream\nfiles a=file\nA> send payload=00 fds=a,a\nA< ok n=1\nB> recv bytes=1 fds=2\nB< ok n=1 payload=00 fds=a,a\n",
		"A< ok n=1\nB< ok n=1 payload=00 fds=7,7 | 7=a", nil, "line 8: file@y: reported that it received 7, which it had already"},
	{"many that it has already", passOne, "A< ok n=1\nB< ok n=1 payload=00 fds=0,1,2,3,0 | ", nil,
		"line 8: file@y: reported that it received 0, which it had already\nline 8: file@y: reported that it received 1, which it had already\n" +
			"line 8: file@y: reported that it received 2, which it had already\nline 8: file@y: 2 more descriptors are wrong\n" +
			"line 8: answer@y: answered \"ok n=1 payload=00 fds=0,1,2,3,0\"\nexpected ok n=1 payload=00 fds=a (5 descriptors, and not 1)"},
	{"the runner may not look", passOne, "A< ok n=1\nB< ok n=1 payload=00 fds=7 | unseen", nil, "not run: cannot see which descriptors y has open: permission denied"},
	{"the runner may not look, but may later", passOne, "A< ok n=1\nB< ok n=1 payload=00 fds=7 | unseen\nend A | -3 -4 -5\nlook B | 7=a\nend B | -3 -7", nil,
		"not run: cannot see which descriptors y has open: permission denied"},
	{"the runner may not look at the sender", passOne, "A< ok n=1 | unseen\nB< ok n=1 payload=00 fds=7 | 7=a", nil,
		"not run: cannot see which descriptors x has open: permission denied"},

	// What it should still have open.
	{"closed", passOne, "A< ok n=1 | -4\nB< ok n=1 payload=00 fds=7 | 7=a", nil, "line 6: file@x: descriptor 4 was closed without a command to do so (own)"},
	{"closed for a later case", passOne, "A< ok n=1 | -90\nB< ok n=1 payload=00 fds=7 | 7=a", nil, "line 6: file@x: descriptor 90 was closed without a command to do so (own)"},
	{"closed by command", rule + "on stream\nfiles a=file\nA> close fds=a\nA< ok\n", "A< ok | -4", nil, ""},
	{"not closed by command", rule + "on stream\nfiles a=file\nA> close fds=a\nA< ok\n", "A< ok", nil, "line 6: leak@x: a, as 4, is open, and the peer did not report it"},
	{"ended by command", passOne + "B> end\nB< ok\n", right + "B< ok | -3 -7", nil, ""},
	{"not ended by command", onA + "A> end\nA< ok\n", "A< ok", nil, "line 6: leak@x: a, as 4, is open, and the peer did not report it"},
	{"replaced", passOne, "A< ok n=1 | 4!=\nB< ok n=1 payload=00 fds=7 | 7=a", nil,
		"line 6: file@x: descriptor 4 refers to another file now, without a command to do so (own)"},
	{"two closed", passOne, "A< ok n=1 | -5 -4\nB< ok n=1 payload=00 fds=7 | 7=a", nil,
		"line 6: file@x: descriptor 4 was closed without a command to do so (own)\nline 6: file@x: descriptor 5 was closed without a command to do so (own)"},
	{"two replaced", passOne, "A< ok n=1 | 5!= 4!=\nB< ok n=1 payload=00 fds=7 | 7=a", nil,
		"line 6: file@x: descriptor 4 refers to another file now, without a command to do so (own)\n" +
			"line 6: file@x: descriptor 5 refers to another file now, without a command to do so (own)"},
	{"closed for a later case, and then another", passOne + "A> send payload=01 fds=-\nA< ok n=1\n",
		"A< ok n=1 | -90\nB< ok n=1 payload=00 fds=7 | 7=a\nA< ok n=1 | -4", nil,
		"line 6: file@x: descriptor 90 was closed without a command to do so (own)\nline 10: file@x: descriptor 4 was closed without a command to do so (own)"},
	{"replaced what it received", passOne + "B> send payload=01 fds=-\nB< ok n=1\n", right + "B< ok n=1 | 7!=", nil,
		"line 10: file@y: descriptor 7 refers to another file now, without a command to do so (own)"},
	{"replaced by a file of the case", passOne, "A< ok n=1 | 4!=b\nB< ok n=1 payload=00 fds=7 | 7=a", nil,
		"line 6: file@x: descriptor 4 refers to another file now, without a command to do so (own)"},
	{"replaced while the other side had something to do", rule + "on stream\nfiles a=file\nB>& recv bytes=1 fds=1\nA> send payload=00 fds=a\nA< ok n=1\nB<& ok n=1 payload=00 fds=a\n",
		"A< ok n=1 | 4!=\nB< ok n=1 payload=00 fds=7 | 7=a", nil, "line 7: file@x: descriptor 4 refers to another file now, without a command to do so"},
	{"replaced while the other side answered", rule + "on stream\nfiles a=file\nB>& recv bytes=1 fds=1\nA> send payload=00 fds=a\nA< ok n=1\nB<& ok n=1 payload=00 fds=a\n",
		"A< ok n=1\nB< ok n=1 payload=00 fds=7 | 7=a 3!=", nil, "line 8: file@y: descriptor 3 refers to another file now, without a command to do so"},
	{"replaced after both had something to do", passBoth + "A> send payload=01 fds=-\nA< ok n=1\n", "A< ok n=1\nB< ok n=1 payload=00 fds=7 | 7=a\nA< ok n=1 | 4!=", nil,
		"line 10: file@x: descriptor 4 refers to another file now, without a command to do so (own)"},
	{"replaced what is for a later case", passOne, right + "look A | 90!=\nend A | -3 -4 -5", nil, "file@x: descriptor 90 refers to another file now, without a command to do so (own)"},
	{"replaced and put back", passOne, right + "look A | 90!=\nend A | -3 -4 -5 90=", nil, ""},

	// What it should not have open.
	{"a duplicate", passOne, "A< ok n=1 | 8=a\nB< ok n=1 payload=00 fds=7 | 7=a", nil, "line 6: leak@x: a, as 8, is open, and the peer did not report it"},
	{"a duplicate of which only the inode is known", passOne, "A< ok n=1 | 8=a?\nB< ok n=1 payload=00 fds=7 | 7=a", nil, ""},
	{"a duplicate of its socket", passOne, "A< ok n=1 | 8=asock\nB< ok n=1 payload=00 fds=7 | 7=a\nend A | -3 -4 -5 -8", nil, ""},
	{"a duplicate of its socket at the end", passOne, right + "look A | 8=asock\nend A | -3 -4 -5", nil, "leak@x: asock, as 8, is still open after the end of the case"},
	{"many duplicates", passOne, "A< ok n=1 | 8=a 9=a 10=b 11=b 12=b\nB< ok n=1 payload=00 fds=7 | 7=a", nil,
		"line 6: leak@x: a, as 8, is open, and the peer did not report it\nline 6: leak@x: a, as 9, is open, and the peer did not report it\n" +
			"line 6: leak@x: b, as 10, is open, and the peer did not report it\nline 6: leak@x: 2 more descriptors are open"},
	{"kept at the end", passOne, right + "end A | -3 -5", nil, "leak@x: a, as 4, is still open after the end of the case"},
	{"kept its socket at the end", passOne, right + "end A | -4 -5", nil, "leak@x: asock, as 3, is still open after the end of the case"},
	{"kept what it received", passOne, right + "end A | -3 -4 -5\nend B | -3", nil, "leak@y: a, as 7, is still open after the end of the case"},
	{"hidden at a descriptor of a later case", passOne, right + "end A | -3 -4 -5\nlook B | 90!=a\nend B | -3 -7 90=", nil, "leak@y: a, as 90, is open, and the peer did not report it"},
	{"the sender's pidfd", passOne, "A< ok n=1\nB< ok n=1 payload=00 fds=7 | 7=a 8=pidfd", nil, "line 8: leak@y: the sender's pidfd, as 8, is open, and the peer did not report it"},
	{"on standard error", passOne, "A< ok n=1\nB< ok n=1 payload=00 fds=7 | 7=a 2=a", nil, "line 8: leak@y: a, as 2, is open, and the peer did not report it"},
	{"while the other side waits", rule + "on stream\nfiles a=file\nB>& recv bytes=1 fds=1\nA> send payload=00 fds=a\nA< ok n=1\nB<& ok n=1 payload=00 fds=a\n",
		"A< ok n=1 | 8=a\nB< ok n=1 payload=00 fds=7 | 7=a", nil, "line 7: leak@x: a, as 8, is open, and the peer did not report it"},
	{"kept at the end, and unsupported", onA + "A> send payload=00 fds=-\nA< ok n=1\n", "A< unsupported\nend A | -3", nil,
		"unsupported: x: answered unsupported\nleak@x: a, as 4, is still open after the end of the case"},
	{"unsupported while the other side waits", strings.Replace(passBoth, "send payload=00 fds=a\nA<& ok n=1", "send payload=@9 fds=a\nA<& ok n=9", 1), "A< unsupported", nil,
		"unsupported: x: answered unsupported"},
	{"closed by command, and collected", passOne + "B> close fds=a\nB< ok\n", right + "B< ok\nlook B | -7", gc, ""},
	{"collected before the end", passOne, "A< ok n=1\nB< ok n=1 payload=00 fds=7 | 7=a 8=a\nlook B | -8", gc, ""},
	{"collected in time", passOne, right + "end A | -3 -4 -5\nend B | at=100ms -3\nlook B | at=900ms -7", gc, ""},
	{"collected in time, twice", passOne, "A< ok n=1\nB< ok n=1 payload=00 fds=7 | 7=a 8=a\nend A | -3 -4 -5\nlook B | at=100ms\nlook B | at=900ms -8\nend B | at=1200ms -3\nlook B | at=1900ms -7", gc, ""},
	{"not collected", passOne, right + "end A | -3 -4 -5\nend B | at=100ms -3\nlook B | at=900ms\nlook B | at=1100ms", gc, "leak@y: a, as 7, is still open after the end of the case"},
	{"open somewhere", passOne, right + "end A | -3 -4 -5\nend B | -3 -7\nR> | held=a/A", nil, "leak@x: a is still open somewhere after the end of the case (ambiguous)"},

	// What it has changed.
	{"an offset", passOne, "A< ok n=1 | a:9\nB< ok n=1 payload=00 fds=7 | 7=a", nil, "line 6: file@x: a is at offset 9, and was at 0 before (ambiguous)"},
	{"an offset, before it can have sent the file", passOne, "look A | a:9\n" + right, nil, "file@x: a is at offset 9, and was at 0 before (own)"},
	{"an offset, and it was only to close the file", onA + "A> close fds=a\nA< ok\n", "A< ok | -4 a:9", nil, "line 6: file@x: a is at offset 9, and was at 0 before (own)"},
	{"an offset, while the sender waits", onA + "B>& recv bytes=1 fds=1\nA>& send payload=00 fds=a\nB<& ok n=1 payload=00 fds=a\nA<& ok n=1\n",
		"B< ok n=1 payload=00 fds=7 | 7=a a:9\nA< ok n=1", nil, "line 8: file@x: a is at offset 9, and was at 0 before (ambiguous)"},
	{"an offset, while the other side waits", passBoth, "A< ok n=1 | a:9\nB< ok n=1 payload=00 fds=7 | 7=a", nil, "line 8: file@y: a is at offset 9, and was at 0 before (ambiguous)"},
	{"status flags", passOne, "A< ok n=1\nB< ok n=1 payload=00 fds=7 | 7=a a:O_NONBLOCK", nil, "line 8: file@y: the status flags of a changed from none to O_NONBLOCK (ambiguous)"},
	{"status flags opposite the runner", passOne, "A< ok n=1\nB< ok n=1 payload=00 fds=7 | 7=a a:O_NONBLOCK", receives,
		"line 8: file@x: the status flags of a changed from none to O_NONBLOCK (own)"},
	{"an offset, by a call of the runner's", sendfile, "A< ok n=4\nB< ok n=4 payload=00010203 fds=- | a:4", nil, ""},
	{"an offset, by a call of the runner's that does not return", strings.Replace(sendfile, "A<& ok n=4", "R> kill A SIGKILL", 1), "B< ok n=4 payload=00010203 fds=- | a:4", nil, ""},
	{"an offset, after a call of the runner's", sendfile + "B> sockname\nB< ok name=*\n", "A< ok n=4\nB< ok n=4 payload=00010203 fds=- | a:4\nB< ok name=- | a:9", nil,
		"line 11: file@y: a is at offset 9, and was at 0 before (ambiguous)"},
	{"a file that it has not sent", rule + "on stream\nfiles a=file\nA> recv bytes=1 fds=1\nA< ok n=0 payload=- fds=-\n", "A< ok n=0 payload=- fds=- | a:9", nil,
		"line 6: file@x: a is at offset 9, and was at 0 before (own)"},

	// No answer.
	{"silent", passOne, "A< ok n=1\nB< (silent)", nil, "line 8: hang@y: no answer in time"},
	{"silent, although its call has to wait", strings.Replace(passOne, "files", "waits B\nfiles", 1), "A< ok n=1\nB< (silent)", nil,
		"line 9: hang@y: no answer in time; if the library waits in an event loop, the peer has to say polls=yes"},
	{"it exits behind its answer", passOne, right + "end A | exited", nil, ""},
	{"gone", passOne, "A< ok n=1\nB< (gone)", nil, "line 8: crash@y: the peer ended: exit status 7"},
	{"gone at the end", passOne, right + "end A (gone)", nil, "crash@x: the peer ended: exit status 7"},
	{"gone, and the runner's own", playSender, "A< ok n=1\nB< (gone)", nil, "line 9: crash@y: the peer ended: exit status 7"},
	{"stopped", passOne, "A< ok n=1\nB< (stopped)", nil, "not run: y: stopped by the runner's own SIGSTOP"},
	{"killed", passOne, "A< ok n=1\nB< (killed)", nil, "not run: y: ended by the runner's own signal: terminated"},

	// A library that no longer uses the connection.
	{"it has given up", refusal, "A< ok n=2\nB< err EIO\nA< err EPIPE\nB< unsupported", nil, "unsupported: y: answered unsupported"},
	{"it has given up, and was to send", strings.Replace(refusal, lastOf, "B> send payload=00 fds=-\nB< ok n=1\n", 1),
		"A< ok n=2\nB< err EIO\nA< err EPIPE\nB< unsupported", nil, "unsupported: y: answered unsupported"},
	{"it has given up, and the other was to send first", strings.Replace(refusal, lastOf, "A> send payload=01 fds=-\nA< ok n=1\n"+lastOf, 1),
		"A< ok n=2\nB< err EIO\nA< err EPIPE\nB< unsupported", nil, "unsupported: y: answered unsupported"},
	{"it has given up, and was to close something first", strings.Replace(strings.Replace(refusal, "files a=file", "files a=file b@B=file", 1),
		lastOf, "B> close fds=b\nB< ok\n"+lastOf, 1), "A< ok n=2\nB< err EIO\nA< err EPIPE\nB< unsupported", nil, "unsupported: y: answered unsupported"},
	{"it has not given up", refusal, "A< ok n=2\nB< err EIO\nA< err EPIPE\nB< ok n=0 payload=- fds=-", nil, "line 10: answer@x: answered \"err EPIPE\"\nexpected ok n=1 (not ok)"},
	{"it sent too much, whatever the other does", refusal, "A< ok n=2\nB< err EIO\nA< ok n=2", nil, "line 10: answer@x: answered \"ok n=2\"\nexpected ok n=1 (n is 2)"},
	{"it has given up, and still closed what it had", rule + "on stream\nfiles a=file b=file\nA> send payload=00 fds=a\nA< err  # refused\nA> close fds=a\nA< ok\nA> send payload=00 fds=b\nA< ok n=1\n",
		"A< err EIO\nA< ok | -4\nA< unsupported", nil, "unsupported: x: answered unsupported"},
	{"it cannot be asked while it waits", strings.Replace(refusal, "A> send payload=00 fds=-\nA< ok n=1\n", "B>& recv bytes=1 fds=1\nA> send payload=00 fds=-\nA< ok n=1\nB<& ok n=1 payload=00 fds=-\n", 1),
		"A< ok n=2\nB< err EIO\nA< err EPIPE", nil, "line 11: answer@x: answered \"err EPIPE\"\nexpected ok n=1 (not ok)"},
	{"it has given up, and the other finds the end", gaveUp, "A< ok n=2\nB< err EIO\nA< ok n=0 payload=- fds=-\nB< unsupported", nil, "unsupported: y: answered unsupported"},
	{"an empty message of a byte is not the end", gaveUp, "A< ok n=2\nB< err EIO\nA< ok n=0 payload=00 fds=-", nil, "line 10: answer@x: answered \"ok n=0 payload=00 fds=-\"\nexpected ok n=1 payload=01 fds=- (n is 0)"},
	{"a byte of an empty message is not the end", gaveUp, "A< ok n=2\nB< err EIO\nA< ok n=1 payload=- fds=-", nil, "line 10: answer@x: answered \"ok n=1 payload=- fds=-\"\nexpected ok n=1 payload=01 fds=- (payload is -)"},
	{"it has nothing more to do", refusal[:strings.LastIndex(refusal, "B> ")], "A< ok n=2\nB< err EIO\nA< err EPIPE", nil, "line 10: answer@x: answered \"err EPIPE\"\nexpected ok n=1 (not ok)"},
	{"it has rejected nothing", passOne, "A< err EPIPE", nil, "line 6: answer@x: answered \"err EPIPE\"\nexpected ok n=1 (not ok)"},
	{"it cannot be asked", refusal, "A< ok n=2\nB< err EIO\nA< err EPIPE", nil, "line 10: answer@x: answered \"err EPIPE\"\nexpected ok n=1 (not ok)"},
	{"it has given up, and the other waits", refusal, "A< ok n=2\nB< err EIO\nA< (silent)\nB< unsupported", nil, "unsupported: y: answered unsupported"},
	{"it has not given up, and the other waits", refusal, "A< ok n=2\nB< err EIO\nA< (silent)\nB< ok n=0 payload=- fds=-", nil, "line 10: hang@x: no answer in time"},
	{"a failed call closes the socket", passOne, "A< ok n=1\nB< err EIO | -3", closes, "line 8: answer@y: answered \"err EIO\"\nexpected ok n=1 payload=00 fds=a (not ok)"},
	{"a failed call leaves the socket open", passOne, "A< ok n=1\nB< err EIO\nend B |", closes, "line 8: answer@y: answered \"err EIO\"\nexpected ok n=1 payload=00 fds=a (not ok)"},
	{"an answer after a failed call", passBoth, "A< err EIO\nB< ok n=1 payload=00 fds=7 | 7=a", closes, "line 7: answer@x: answered \"err EIO\"\nexpected ok n=1 (not ok)"},
	{"unsupported after a failed call", passBoth, "A< err EIO\nB< unsupported", xCloses, "line 7: answer@x: answered \"err EIO\"\nexpected ok n=1 (not ok)"},
	{"another file at its socket after a failed call", failed, "A< ok n=1\nB< err EIO | 3!=", closes, ""},
	{"a file of the case at its socket after a failed call", failed, "A< ok n=1\nB< err EIO | 3!=a", closes, "line 8: leak@y: a, as 3, is open, and the peer did not report it"},
	{"its own file at its socket after a failed call", onA + "A> send payload=00 fds=a\nA< err EIO\n", "A< err EIO | 3!=a", closes,
		"line 6: leak@x: a, as 3, is open, and the peer did not report it"},
	{"the other socket at its socket after a failed call", failed, "A< ok n=1\nB< err EIO | 3!=asock\nend B |", closes,
		"leak@y: asock, as 3, is still open after the end of the case"},
	{"an answer that is not awaited yet excuses nothing", onA + "B> recv bytes=1 fds=0\nB< ok n=1 payload=00 fds=-\nA> send payload=00 fds=-\nA< ok n=1\n",
		"B< ok n=0 payload=- fds=-", closes, "line 6: answer@y: answered \"ok n=0 payload=- fds=-\"\nexpected ok n=1 payload=00 fds=- (n is 0)"},
	{"the failure of the other excuses it, before an answer", strings.Replace(excuse, "A<& ", "B> recv bytes=1 fds=0\nB< ok n=1 payload=00 fds=-\nA<& ", 1),
		"B< ok n=0 payload=- fds=-\nA< err EIO | -3", closes, ""},
	{"the failure of the other excuses it, after an answer", strings.Replace(excuse, "B>& ", "A> send payload=09 fds=-\nA< ok n=1\nB>& ", 1),
		"A< ok n=1\nB< ok n=0 payload=- fds=-\nA< err EIO | -3", closes, ""},
	{"what it received after a failed call", failed, "A< ok n=1\nB< err EIO | -3 7=a", closes, "line 8: leak@y: a, as 7, is open, and the peer did not report it"},
	{"a duplicate of its socket after a failed call", failed, "A< ok n=1\nB< err EIO | -3 7=bsock\nend B |", closes, "leak@y: bsock, as 7, is still open after the end of the case"},
	{"another descriptor closed after a failed call", failed, "A< ok n=1\nB< err EIO | -3 -90", closes, "line 8: file@y: descriptor 90 was closed without a command to do so (own)"},
	{"its socket closed after a failed call, and it does not say so", failed, "A< ok n=1\nB< err EIO | -3", nil, "line 8: file@y: descriptor 3 was closed without a command to do so (own)"},
	{"its socket closed without a failed call", passOne, "A< ok n=1\nB< ok n=1 payload=00 fds=7 | 7=a -3", closes, "line 8: file@y: descriptor 3 was closed without a command to do so (own)"},
	{"its socket closed after unsupported", passOne, "A< ok n=1\nB< unsupported | -3", closes, `line 8: contract@y: answered unsupported to "recv bytes=1 fds=1", which a peer must support on each socket type in its can=, with a call of its own if its library has none`},
	{"its socket closed after unsupported to what not every library can", onA + "A> send payload=00 fds=-\nA< ok n=1\n", "A< unsupported | -3", closes,
		"unsupported: x: answered unsupported"},
	{"both calls fail", onA + "A>& send payload=00 fds=a\nB>& send payload=00 fds=-\nA<& err EIO\nB<& err EIO\n", "A< err EIO | -3\nB< err EIO | -3", closes, ""},
	{"a failed call after a kill", onA + "R> kill A SIGKILL\nB> recv bytes=1 fds=1\nB< err EIO\n", "B< err EIO | -3", closes, ""},
	{"a descriptor that it has already, after a failed call", passBoth, "A< err EIO\nB< ok n=1 payload=00 fds=3", closes,
		"line 7: answer@x: answered \"err EIO\"\nexpected ok n=1 (not ok)\nfile@y: reported that it received 3, which it had already"},
	{"a leak after a failed call", passBoth, "A< err EIO\nB< err EIO | 9=a\nend B | -3", xCloses,
		"line 7: answer@x: answered \"err EIO\"\nexpected ok n=1 (not ok)\nleak@y: a, as 9, is open, and the peer did not report it"},
	{"gone after a failed call", passBoth, "A< err EIO\nB< (gone)", closes,
		"line 7: answer@x: answered \"err EIO\"\nexpected ok n=1 (not ok)\ncrash@y: the peer ended: exit status 7"},
	{"a failed call ends the case", failed + "B> recv bytes=1 fds=0\nB< ok n=0 payload=- fds=-\n", "A< ok n=1\nB< err EIO | -3", closes, ""},
	{"another language after a failed call", passBoth, "A< err EIO\nB< yes", closes,
		"line 7: answer@x: answered \"err EIO\"\nexpected ok n=1 (not ok)\ncontract@y: answered \"yes\" to \"recv bytes=1 fds=1\""},
	{"the failure of the other excuses it, and what it received is no leak", excuse, "B< ok n=1 payload=00 fds=7 | 7=a\nA< err EIO | -3", closes, ""},
	{"not of the contract, whatever the other side does", excuse, "B< yes", closes, `line 7: contract@y: an answer begins with ok or err, not yes: "yes"`},
	{"the failure of the other excuses it", excuse, "B< ok n=0 payload=- fds=-\nA< err EIO | -3", closes, ""},
	{"a peer that keeps its socket open excuses nothing", excuse, "B< ok n=0 payload=- fds=-", nil, "line 7: answer@y: answered \"ok n=0 payload=- fds=-\"\nexpected ok n=2 payload=0001 fds=a (0 descriptors, and not 1)"},
	{"an answer out of turn is not excused by the one that is awaited", passBoth + "A> send payload=01 fds=-\nA< ok n=1\n", "B< ok n=0 payload=- fds=-", closes,
		"line 8: answer@y: answered \"ok n=0 payload=- fds=-\"\nexpected ok n=1 payload=00 fds=a (0 descriptors, and not 1)"},
	{"an answer before its turn", passBoth, "B< ok n=1 payload=00 fds=7 | 7=a\nA< ok n=1", closes, ""},
	{"a failed call before its turn", fails, "B< err EIO\nA< ok n=1", nil, ""},
	{"a failed call before its turn closes the socket", fails, "B< err EIO | -3", closes, ""},
	{"nothing excuses it", excuse, "B< ok n=0 payload=- fds=-", closes, "line 7: answer@y: answered \"ok n=0 payload=- fds=-\"\nexpected ok n=2 payload=0001 fds=a (0 descriptors, and not 1)"},

	// Lines of the runner's own.
	{"something is pending", passOne[:strings.Index(passOne, "B>")] + "R> pending B\n", "A< ok n=1\nR> something to receive", nil,
		"line 7: answer@x: sent B something to receive, and nothing should have been sent"},
	{"it does not wait", rule + "on stream\nB>& recv bytes=1 fds=0\nR> blocked B\nB<& ok n=1 payload=00 fds=-\n", "R> does not wait\nB< err EAGAIN", nil, "line 5: answer@y: does not wait"},
	{"it does not wait, and is to be killed", onA + "A> send payload=00 fds=-\nA< ok n=1\nB>& recv bytes=1 fds=0\nR> blocked B\nR> kill B SIGKILL\n", "A< ok n=1\nR> does not wait\nB< err EAGAIN", nil, "line 8: answer@y: does not wait"},
	{"it ends instead of waiting", rule + "on stream\nB>& recv bytes=1 fds=0\nR> blocked B\nB<& ok n=1 payload=00 fds=-\n", "R> does not wait\nB< (gone)", nil, "line 5: crash@y: the peer ended: exit status 7"},
	{"it does not support the call that should wait", rule + "on stream\nB>& recv bytes=1 fds=0\nR> blocked B\nB<& ok n=1 payload=00 fds=-\n", "R> does not wait\nB< unsupported", nil,
		"unsupported: y: answered unsupported"},
	{"it does not support a basic call that should wait", rule + "on stream\nfiles a=file\nB>& recv bytes=1 fds=1\nR> blocked B\nA> send payload=00 fds=a\nA< ok n=1\nB<& ok n=1 payload=00 fds=a\n",
		"R> does not wait\nB< unsupported", nil, `line 9: contract@y: answered unsupported to "recv bytes=1 fds=1", which a peer must support on each socket type in its can=, with a call of its own if its library has none`},
	{"it does not wait for the other, whose failure excuses it", rule + "on stream\nA>& send payload=@9 fds=-\nB>& recv bytes=1 fds=0\nR> blocked B\nA<& ok n=9\nB<& ok n=1 payload=00 fds=-\n",
		"R> does not wait\nB< ok n=0 payload=- fds=-\nA< err EIO | -3", closes, "line 7: answer@x: answered \"err EIO\"\nexpected ok n=9 (not ok)"},
	{"open at eof", rule + "on stream\nfiles a=pipe-r\nA> close fds=a\nA< ok\nR> drop a\nR> eof a\n", "A< ok | -4\nR>\nR> | held=a", nil, "line 8: leak@y: a is still open somewhere (ambiguous)"},
	{"another offset", passOne + "R> pos B a=1\n", right + "R> | 7=a", nil, "line 9: file@y: a is at offset 0, not 1"},
	{"the offset that it changed", passOne + "R> pos B a=1\n", "A< ok n=1 | a:9\nB< ok n=1 payload=00 fds=7 | 7=a\nR> | 7=a", nil,
		"line 6: file@x: a is at offset 9, and was at 0 before (ambiguous)\nline 9: file@x: a is at offset 0, not 1 (ambiguous)"},
	{"other flags", passOne + "R> flags B a=nonblock,append\n", right + "R> | 7=a", nil, "line 9: file@y: a has the status flags none, not O_APPEND|O_NONBLOCK"},
	{"the same offset", passOne + "R> pos B a=0\n", right + "R> | 7=a", nil, ""},
	{"one other flag", passOne + "R> flags B a=nonblock\n", right + "R> | 7=a", nil, "line 9: file@y: a has the status flags none, not O_NONBLOCK"},
	{"the same flags", passOne + "R> flags B a=-\n", right + "R> | 7=a", nil, ""},
	{"nothing is pending", onA + "R> pending B\nA> end\nA< ok\n", "A< ok | -3 -4", nil, ""},
	{"it waits", rule + "on stream\nB>& recv bytes=1 fds=0\nR> blocked B\nB<& ok n=1 payload=00 fds=-\n", "B< ok n=1 payload=00 fds=-", nil, ""},
	{"another user", kernelA + "A> setuid uid=65534\nA< ok\n", "A< ok", nil, ""},
	{"sent a signal", passOne + "R> kill B SIGUSR1\n", right, nil, ""},
	{"a line about a descriptor that it did not receive", passOne + " | err EMFILE  # full\nR> drop a\nR> pos B a=1\n", "A< ok n=1\nB< err EMFILE", nil, `not run: line 11: B has no "a"`},
	{"a line that the runner cannot carry out", passOne + "R> setsockopt B passcred=1\nA> end\nA< ok\n", right + "R> | cannot", nil, "unsupported: this system cannot"},
	{"killed by a line", passOne + "R> kill B SIGKILL\n", right, nil, ""},
}

// passTwo passes two descriptors, passMade one that the runner's side makes.
const (
	passTwo  = rule + "on stream\nfiles a=file b=file\nA> send payload=00 fds=a,b\nA< ok n=1\nB> recv bytes=1 fds=2\nB< ok n=1 payload=00 fds=a,b\n"
	passMade = rule + "on stream\nplay kernel\nA> socketpair type=stream\nA< ok fds=new:s,new:u\n | err EMFILE  # full\n" +
		"B> recvmsg bytes=1 control=space(1)\nB< ok n=1 payload=00 fds=s\n"
)

// failed passes a file in a call that fails at the receiver.
const failed = onA + "A> send payload=00 fds=a\nA< ok n=1\nB> recv bytes=1 fds=1\nB< err EIO\n"

const refusal = rule + "on stream\nfiles a=file\nA> send payload=0001 fds=a\nA< ok n=2\nB> recv bytes=1 fds=1\nB< err  # refused\nA> send payload=00 fds=-\nA< ok n=1\n" +
	lastOf

// lastOf is the end of refusal.
const lastOf = "B> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=-\n"

// gaveUp is refusal, but the sender receives then.
var gaveUp = strings.Replace(refusal, "A> send payload=00 fds=-\nA< ok n=1\n", "A> recv bytes=1 fds=0\nA< ok n=1 payload=01 fds=-\n", 1)

// refusals is how a library can reject an operation, and an operation after that.
const refusals = onA + "A> send payload=00 fds=a\nA< err EPIPE\n | err ECONNRESET  # reset\n | err EIO  # broken\n | err lib  # refused\n" +
	"A> send payload=00 fds=a\nA< ok n=1\n"

const excuse = rule + "on stream\nfiles a=file\nB>& recv bytes=2 fds=1\nA>& send payload=00 fds=a\nB<& ok n=2 payload=0001 fds=a\nA<& err EIO\n"

// sendfile sends a part of a file with calls of the runner's processes, while the other side receives.
const sendfile = rule + "on stream\nplay kernel\nfiles a=file\nA>& sendfile fds=a,asock bytes=4\nB>& recv bytes=4 fds=0\nA<& ok n=4\nB<& ok n=4 payload=00010203 fds=-\n"

// passBoth passes a file while the other side waits for it.
const passBoth = rule + "on stream\nfiles a=file\nB>& recv bytes=1 fds=1\nA>& send payload=00 fds=a\nA<& ok n=1\nB<& ok n=1 payload=00 fds=a\n"

// fails is passBoth in which the receiver fails.
var fails = strings.Replace(passBoth, "ok n=1 payload=00 fds=a", "err EIO", 1)

// A peer that answers unsupported is named, with the words of can= that the call needs, unless its library has rejected
// something before.
func TestObstacle(t *testing.T) {
	refuse := func(text string) string {
		return rule + "on stream\nfiles a=file b=file\nA> send payload=00 fds=a\nA< ok n=1\n | err lib  # refused\nA> " + text + "\nA< err EIO\n"
	}
	for _, c := range []struct{ text, script, want string }{
		{refuse("send payload=00,00 fds=a,b flags=dontwait"), "A< ok n=1\nA< unsupported", "flags and multi and iov"},
		{refuse("recv bytes=1 fds=2"), "A< ok n=1\nA< unsupported", "multi"},
		{refuse("send payload=00 fds=-"), "A< ok n=1\nA< unsupported", ""},
		{refuse("send payload=00 fds=a,b"), "A< err lib closed\nA< unsupported", ""},
	} {
		log, _ := run(t, setupOf(t, c.text, nil), c.script)
		if got, want := log.Found.Obstacle, (scenario.Obstacle{Reason: scenario.ReasonAnswer, Peer: "x", Detail: c.want}); got != want {
			t.Errorf("%s: got %+v, want %+v", c.text, got, want)
		}
	}
}

func TestRows(t *testing.T) {
	names := map[string]bool{}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			if names[r.name] {
				t.Error("two rows have this name")
			}
			names[r.name] = true
			log, err := run(t, setupOf(t, r.text, r.change), r.script)
			if got := describe(log.Found); got != r.want {
				t.Errorf("got\n%s\nwant\n%s", got, r.want)
			}
			if want, ok := requested[r.name]; ok && requests(log, err) != want {
				t.Errorf("requested %s, want %s", requests(log, err), want)
			}
		})
	}
	for name := range requested {
		if !names[name] {
			t.Errorf("there is no row %q", name)
		}
	}
}

// ended is what the judge requests after a transcript in which nothing happens that matters then.
const ended = "release, end A, end B, watch[]"

// requested is what the judge requests in some rows out of turn and after the transcript.
var requested = map[string]string{
	"right":       ended,
	"silent":      "over",
	"other bytes": ended,
	"not of the contract, whatever the other side does": "over",
	"closed for a later case":                           ended + ", over",
	"replaced what is for a later case":                 ended + ", over",
	"kept at the end":                                   "release, end A, end B",
	"the sender's pidfd":                                ended, // it keeps no file of the case open
	"it has given up":                                   "recv B, " + ended,
	"it has not given up":                               "recv B, over", // it may have received something that was not looked at
	"it cannot be asked":                                "recv B, over",
	"it does not wait":                                  "over",
	"it does not support the call that should wait":     ended,
	"open at eof":                                       "over",
	"open somewhere":                                    ended + ", over",
	"it has not given up, and the other waits":          "recv B, over",
	"collected before the end":                          ended,
	"collected in time":                                 "release, end A, end B, look again, watch[]",
	"not collected":                                     "release, end A, end B, look again, look again",
	"the failure of the other excuses it":               "await failure of A, release, end A, end B, watch[A]",
	"the failure of the other excuses it, and what it received is no leak": "await failure of A, release, end A, end B, watch[A]",
	"a failed call ends the case":                                          "release, end A, end B, watch[B]",
	"an answer before its turn":                                            ended,
	"an empty message of a byte is not the end":                            ended,
	"a byte of an empty message is not the end":                            ended,
	"it has given up, and was to send":                                     "send B, " + ended,
	"it has given up, and the other was to send first":                     "recv B, " + ended,
	"it has given up, and was to close something first":                    "recv B, " + ended,
	"an answer that is not awaited yet excuses nothing":                    ended,
	"an answer out of turn is not excused by the one that is awaited":      "over",
	"killed by a line":                                                     "release, end A, watch[], over",
	"sent a signal":                                                        ended,
	"another user":                                                         ended + ", over",
	"closed":                                                               ended,
	"closed for a later case, and then another":                            ended + ", over",
	"killed":                           "over",
	"the runner may not look":          ended,
	"a full disk at the runner's side": ended,
}

// A process that was started without standard input can receive a descriptor as 0.
func TestWithoutStandardInput(t *testing.T) {
	setup := setupOf(t, passOne, nil)
	setup.Held[roleB] = NewHeld([]int{3, 90, 91}, 1, 2)
	if r, _ := run(t, setup, "A< ok n=1\nB< ok n=1 payload=00 fds=0 | 0=a"); describe(r.Found) != "" {
		t.Error(describe(r.Found))
	}
}

// Where the runner itself is the peer, its messages are those of the scenario, and may be too long as for any peer.
func TestRunnerByItself(t *testing.T) {
	self := &scenario.Peer{Name: scenario.RunnerName}
	for changes, want := range map[string]string{
		"7=a":     "",
		"7=a a:9": "line 8: file@runner: a is at offset 9, and was at 0 before (ambiguous)",
	} {
		setup := setupOf(t, passOne, nil)
		setup.Case.A, setup.Case.B = self, self
		if r, _ := run(t, setup, "A< ok n=1\nB< ok n=1 payload=00 fds=7 flags=ctrunc | "+changes); describe(r.Found) != want {
			t.Errorf("%s: got %s, want %s", changes, describe(r.Found), want)
		}
	}
}

// Only the runner's own processes enter the folder of the case.
func TestFolder(t *testing.T) {
	for text, c := range map[string]struct{ script, want string }{
		passOne:                     {right, ""},
		kernelA + "B> end\nB< ok\n": {"B< ok | -3", ""},
		kernelA + "A> end\nA< ok\n": {"chdir A err EACCES\n",
			`not run: the runner's side cannot enter the folder of the case: it answered "err EACCES" to "chdir path=/case"`},
	} {
		setup := setupOf(t, text, nil)
		setup.Folder = "/case"
		if r, _ := run(t, setup, c.script); describe(r.Found) != c.want {
			t.Errorf("got %s, want %s", describe(r.Found), c.want)
		}
	}
}

// Only the flags of a descriptor that is the right one are checked.
func TestCloexecChecked(t *testing.T) {
	for files, want := range map[string]string{"7=a 8=b": "[y]", "7=a! 8=a": "[y]", "7=b 8=a": "[]"} {
		r, _ := run(t, setupOf(t, passTwo, nil), "A< ok n=1\nB< ok n=1 payload=00 fds=7,8 | "+files)
		if got := fmt.Sprint(r.Found.CloexecChecked); got != want {
			t.Errorf("%s: got %s, want %s", files, got, want)
		}
	}
}

// Some calls of the runner's own processes change the state of files, and others do not.
func TestAlteringCalls(t *testing.T) {
	const changed = "line 7: file@x: a is at offset 9, and was at 0 before (own)"
	for call, want := range map[string]string{
		"read fd=a bytes=1": "", "write fd=a payload=00": "", "splice fds=a,asock bytes=1": "", "lseek fd=a offset=9": "", "fcntl fd=a set=fl:nonblock": "",
		"stat fd=a": strings.Replace(changed, "own", "ambiguous", 1),
	} {
		if r, _ := run(t, setupOf(t, kernelA+"A> "+call+"\nA< ok\n", nil), "A< ok | a:9"); describe(r.Found) != want {
			t.Errorf("%s: got %s, want %s", call, describe(r.Found), want)
		}
	}
}

// A log can be judged again in a scenario that expects another answer, or that ends earlier. If the judge then asks
// a side out of turn, it cannot know the answer. Nothing counts after the pair has ended.
func TestJudgeAgain(t *testing.T) {
	plain, _ := run(t, setupOf(t, passOne, nil), right)
	asks, _ := run(t, setupOf(t, strings.Replace(refusal, "fds=-\nA< ok n=1", "fds=-\nA< err EPIPE", 1), nil), "A< ok n=2\nB< err EIO\nA< err EPIPE\nB< unsupported")
	both, _ := run(t, setupOf(t, passBoth, closes), right)
	wrong, _ := run(t, setupOf(t, passOne, nil), right)
	for i, e := range wrong.Exchanges {
		if f, ok := e.Fact.(fact.Answer); ok && e.Request.at().Step.Line > 0 {
			f.Said = "yes"
			wrong.Exchanges[i].Fact = f
		}
	}
	for text, c := range map[string]struct {
		log  *Log
		want string
	}{
		strings.Replace(passOne, "ok n=1\n", "ok n=2\n", 1):      {plain, "line 6: answer@x: answered \"ok n=1\"\nexpected ok n=2 (n is 1)"},
		passOne[:strings.Index(passOne, "B>")]:                   {plain, ""},
		strings.Replace(passBoth, "A<& ok n=1", "A<& ok n=2", 1): {both, "line 7: answer@x: answered \"ok n=1\"\nexpected ok n=2 (n is 1)"},
		refusal: {asks, "line 10: answer@x: answered \"err EPIPE\"\nexpected ok n=1 (not ok)"},
		passOne: {wrong, `line 6: contract@x: an answer begins with ok or err, not yes: "yes"`},
	} {
		if got := describe(c.log.Judge(mustParse(t, text))); got != c.want {
			t.Errorf("%s: got %s, want %s", text, got, c.want)
		}
	}
}

// An error of the runner ends the case at each request, with what was found until then, and is what Run returns.
func TestRunnerFails(t *testing.T) {
	whole, _ := run(t, setupOf(t, passOne, nil), "A< ok n=1 | -4\nB< ok n=1 payload=00 fds=7 | 7=a!")
	before := 0
	for n := range whole.Exchanges {
		setup := setupOf(t, passOne, nil)
		found, err := Run(setup, &replay{whole, setup.Case.Scenario, whole.Exchanges[:n]})
		if err == nil || err == ErrPairOver || len(setup.Log.Exchanges) != n || !reflect.DeepEqual(found, setup.Log.Found) || len(found.Findings) < before {
			t.Errorf("at request %d: %v, after %d requests, %+v, logged %+v", n, err, len(setup.Log.Exchanges), found, setup.Log.Found)
		}
		before = len(found.Findings)
	}
	if before != 2 || len(whole.Exchanges) < 15 {
		t.Errorf("%d findings, %d requests", before, len(whole.Exchanges))
	}
}

// A runner that panics is not taken for one that returns an error.
func TestRunnerPanics(t *testing.T) {
	defer func() {
		if got := recover(); got != "a fault" {
			t.Errorf("recovered %v", got)
		}
	}()
	_, err := Run(setupOf(t, passOne, nil), panicking{})
	t.Errorf("Run returned %v", err)
}

type panicking struct{}

func (panicking) CarryOut(Found, Request) (any, error) { panic("a fault") }

// What the runner must add to the files of the case, and examine more closely, according to the judge.
func TestNewDescriptors(t *testing.T) {
	made, _ := run(t, setupOf(t, passMade, nil), "A< ok fds=7,8 | 7= 8=\nB< ok n=1 payload=00 fds=9 | 9=s")
	if got := fmt.Sprint(made.Found.Made); got != "[{A s 7} {A u 8}]" {
		t.Errorf("made: %s", got)
	}
	r, _ := run(t, setupOf(t, passTwo, nil), "A< ok n=1\nB< ok n=1 payload=00 fds=3,7 | 3=bsock 7=b")
	var got []string
	for _, e := range r.Exchanges {
		if look, ok := e.Request.(Look); ok && look.Named != nil {
			got = append(got, fmt.Sprint(look.Role, look.Named, look.Fresh))
		}
	}
	if fmt.Sprint(got) != "[B [3 7] [7]]" {
		t.Errorf("looked at %s", got)
	}
}
