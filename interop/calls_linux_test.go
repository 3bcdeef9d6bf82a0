package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/kinds"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
	"golang.org/x/sys/unix"
)

// kernel runs a kernel scenario on each of the socket types, and returns the outcome, which must
// be the same for all of them.
func kernel(t *testing.T, types, text string) string {
	t.Helper()
	s := mustParse(t, rule+"on "+types+"\nplay kernel\n"+text)
	all := ""
	for i, r := range runClean(t, scenario.Plan([]*scenario.Scenario{s}, nil, runner(t)), 0) {
		if got := maskNumbers(outcome(r)); i == 0 || got == all {
			all = got
		} else {
			t.Errorf("%s: got %s, but %s on another socket type", r.Name, got, all)
		}
		if !r.Kernel() || r.Case.A.Name != scenario.KernelName {
			t.Errorf("%s is not a kernel case", r.Name)
		}
	}
	return all
}

const every = "stream dgram seqpacket"

// If an answer of the runner's side exceeds the maximum line length, the case is "not run".
func TestAnswerThatIsTooLong(t *testing.T) {
	const messages = 14
	text := "files a=pipe-r\n" + strings.Repeat("A> sendmsg payload=00 control=rights(a*253)\nA< ok n=1\n", messages) +
		"B> recvmmsg bytes=1" + strings.Repeat("|1", messages-1) + " control=space(253)" + strings.Repeat("|space(253)", messages-1) + "\nB< ok n=14\n"
	const want = "not run: line 35: the answer of kernel is a line longer than 16384 bytes: "
	if got := kernel(t, "dgram", text); !strings.HasPrefix(got, want) {
		t.Errorf("got %.200s\nwant %s", got, want)
	}
}

// The runner's sides make the calls of a scenario, and an unexpected answer fails the case. The scenarios of the
// catalogue make the other calls.
func TestCalls(t *testing.T) {
	const (
		a   = "files a=pipe-r\n"
		one = "A> sendmsg payload=00 control=rights(a)\nA< ok n=1\n"
	)
	for _, c := range []struct{ name, types, text, want string }{
		{"control data as hexadecimal bytes", every,
			"A> sendmsg payload=00 control=hex(ffffffffffffffff)\nA< ok n=1\nB> recvmsg bytes=1\nB< ok n=1 payload=00\n", "pass"},
		{"the flag inherit with another flag", every, a + one +
			"B> recvmsg flags=inherit,peek bytes=1 control=space(1)\nB< ok n=1 payload=00 fds=a:x\nB> close fds=x\nB< ok\n", "pass"},
		{"credentials", every, "R> setsockopt B passcred=1\nA> sendmsg payload=00 control=creds()\nA< ok n=1\n" +
			"B> recvmsg bytes=1 control=creds\nB< ok n=1 payload=00 control=creds(A)\n" +
			"A> sendmsg payload=00 control=creds(A)\nA< ok n=1\n" +
			"B> recvmsg bytes=1 control=creds\nB< ok n=1 payload=00 control=creds(B)\n",
			"fail: answer@kernel: answered \"ok n=1 payload=00 fds=- control=creds(NUMBER,UID) controllen=32 flags=- name=-\"\n" +
				"expected ok n=1 payload=00 control=creds(B) (control is creds(NUMBER,UID))"},
		{"the parent folder", "stream", "A> mkdir path=d\nA< ok\nA> open path=d flags=directory\nA< ok fd=new:d\n" +
			"A> open dir=d path=.. flags=directory\nA< ok fd=new:u\nA> open dir=u path=d flags=directory\nA< ok fd=new:e\n" +
			"A> open dir=d path=f flags=create,rdwr\nA< ok fd=new:f\nA> chdir path=d\nA< ok\nA> open path=f\nA< ok fd=new:g\n", "pass"},
		{"timeouts", every, "A> setsockopt rcvtimeo=600000 sndtimeo=3000\nA< ok\nA> getsockopt option=rcvtimeo\nA< ok value=600000\n" +
			"A> getsockopt option=sndtimeo\nA< ok value=3000\nB> getsockopt option=rcvtimeo\nB< ok value=0\n", "pass"},
		{"the file of a reused descriptor is not the expected one", every, "A> open path=f flags=create,rdwr\nA< ok fd=new:f\n" +
			"A> sendmsg payload=00 control=rights(f)\nA< ok n=1\nA> close fds=f\nA< ok\nA> open path=f\nA< ok fd=new:g\n" +
			"B> recvmsg bytes=1 control=space(1)\nB< ok n=1 payload=00 fds=g control=rights*1\n",
			"fail: file@kernel: NUMBER is not the open file description of g"},
		{"a command longer than the maximum line length", every,
			a + "A> sendmsg payload=00 control=" + strings.Repeat("rights(a*1000),", 20) + "rights(a)\nA< err EINVAL\n",
			"not run: line 6: the command to kernel is longer than 16384 bytes with its descriptors filled in"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := kernel(t, c.types, c.text); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// recvmmsg reports the pidfd of each message, as recvmsg does.
func TestCallsOfManyMessagesWithPidfds(t *testing.T) {
	const text = "needs passpidfd\nfiles a=pipe-r\nR> setsockopt B passpidfd=1\nA> sendmmsg payload=00|01|02 control=-|rights(a)|-\nA< ok n=3\n" +
		"B> recvmmsg bytes=1|1|1 control=space(1)|space(1)+space(1)|-\n"
	for _, answer := range []string{
		"B< ok n=3 payload=00|01|02 fds=a pidfd=new:p,new:q control=pidfd|rights*1,pidfd|-\nB> pidof fd=p\nB< ok pid=A\nB> close fds=p,q\nB< ok\n",
		"B< ok n=3 payload=00|01|02 fds=a pidfd=new:p,new:q\n",
	} {
		if got := kernel(t, "dgram", text+answer); got != "pass" && !strings.HasPrefix(got, "unsupported: this kernel has no socket option passpidfd: ") {
			t.Errorf("%s: got %s", answer, got)
		}
	}
}

// maskNumbers replaces the parts of an outcome that differ between runs.
func maskNumbers(text string) string {
	id := fmt.Sprintf(",%d,%d)", os.Getuid(), os.Getgid())
	text = strings.ReplaceAll(text, id, ",UID)")
	for _, mark := range []string{"fds=", "creds(", "file@kernel: "} {
		from := 0
		for {
			i := strings.Index(text[from:], mark)
			if i < 0 {
				break
			}
			from += i + len(mark)
			digits := len(text[from:]) - len(strings.TrimLeft(text[from:], "0123456789"))
			if digits > 0 {
				text = text[:from] + "NUMBER" + text[from+digits:]
			}
		}
	}
	return text
}

// A stream send that is stopped returns, once it continues, how many bytes it had sent.
func TestStoppedInASend(t *testing.T) {
	text := "A> setsockopt sndbuf=4608\nA< ok\nA>& sendmsg payload=@1000000\nR> blocked A\nR> kill A SIGSTOP\n" +
		"B> recvmsg bytes=1000000\nB< ok n=* payload=*\nR> pending B\nR> kill A SIGCONT\nA<& ok n=*\nR> pending B\n"
	if got := kernel(t, "stream", text); got != "pass" {
		t.Errorf("got %s, want pass", got)
	}
}

// Some of the runner's verbs act on the process of a side: they wait for it, send it signals or set its limits.
func TestVerbsOfProcesses(t *testing.T) {
	const delay = 2 * time.Millisecond // in which a side answers
	const waits = "B> setsockopt rcvtimeo=3600000\nB< ok\nB>& recvmsg bytes=1 control=space(1)\nR> blocked B\n"
	for _, c := range []struct{ name, text, want string }{
		{"a wait is interrupted", waits + "R> kill B SIGUSR1\nB<& err EINTR\n", "pass"},
		{"a wait is over when a message arrives", "files a=pipe-r\nB>& recvmsg bytes=1 control=space(1)\nR> blocked B\nA> sendmsg payload=00 control=rights(a)\nA< ok n=1\nB<& ok n=1 payload=00 fds=a\n", "pass"},
		{"blocked fails if the side does not wait", "B>& recvmsg bytes=1 flags=dontwait\nR> blocked B\nB<& err EAGAIN\n", "fail: answer@kernel: does not wait"},
		{"settled accepts a side that has answered", "B>& recvmsg bytes=1 flags=dontwait\nR> settled B\nB<& err EAGAIN\n", "pass"},
		{"settled accepts a side that waits", waits + "R> settled B\nR> kill B SIGUSR1\nB<& err EINTR\n", "pass"},
		{"killed", "files a=pipe-w\nA> sendmsg payload=00 control=rights(a)\nA< ok n=1\nR> drop a\nR> kill A SIGKILL\n" +
			"B> recvmsg bytes=1 control=space(1)\nB< ok n=1 payload=00 fds=a\nB> close fds=a\nB< ok\nR> eof a\n", "pass"},
		{"killed while it waits", waits + "R> kill B SIGKILL\nA> sendmsg payload=00 flags=nosignal\nA< err\n", "pass"},
		{"stopped and continued", "B>& recvmsg bytes=1\nR> blocked B\nR> kill B SIGSTOP\nA> sendmsg payload=00\nA< ok n=1\nR> kill B SIGCONT\nB<& ok n=1 payload=00\n", "pass"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := kernel(t, every, c.text); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
		for _, idle := range []time.Duration{0, delay} {
			t.Run(fmt.Sprintf("%s, with a runner that is %v and %v late", c.name, idle, delay), func(t *testing.T) {
				defer process.SlowQueries(idle, delay)()
				if got := kernel(t, "stream", c.text); got != c.want {
					t.Errorf("got  %s\nwant %s", got, c.want)
				}
			})
		}
	}
}

// The runner's sides do not inherit descriptors that the runner has inherited.
func TestInheritedFiles(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	fdtest.Must(t, os.WriteFile(name, []byte("precious"), 0o600))
	fd, err := unix.Open(name, unix.O_RDWR, 0)
	fdtest.Must(t, err)
	defer unix.Close(fd)
	const inherited = 900
	fdtest.Must(t, unix.Dup3(fd, inherited, 0))
	defer unix.Close(inherited)
	got := kernel(t, "stream", "A> truncate fd=900 size=0\nA< err EBADF\nB> stat fd=900\nB< err EBADF\n")
	if text, err := os.ReadFile(name); got != "pass" || err != nil || string(text) != "precious" {
		t.Errorf("got %s; the file has %q, %v", got, text, err)
	}
}

// A case is not affected by an earlier case in which a side was killed, changed its user or had its
// limit lowered.
func TestNothingStaysOfACase(t *testing.T) {
	texts := []string{
		"files a=pipe-r\nR> kill A SIGKILL\nB> sockname\nB< ok name=-\n",
		"A> mkdir path=d\nA< ok\nA> chdir path=d\nA< ok\nA> open path=here flags=create,rdwr\nA< ok fd=new:f\n",
		"R> limit A nofile=3\nA> socket type=stream\nA< err EMFILE\n",
		"R> setsockopt A passcred=1\nA> getsockopt option=passcred\nA< ok value=1\n",
	}
	if os.Getuid() == 0 {
		texts = append(texts, "A> setuid uid=65534\nA< ok\nA> chmod path=. mode=0700\nA< err EPERM\n")
	}
	self := runner(t)
	after := "files a=pipe-r\nA> getsockopt option=passcred\nA< ok value=0\nA> open path=here\nA< err ENOENT\nA> mkdir path=d\nA< ok\nA> chmod path=d mode=0777\nA< ok\nA> dup fd=a\nA< ok fd=a:x\n"
	var list []scenario.Case
	for i, text := range texts {
		for j, text := range []string{text, after} {
			s, err := scenario.Parse(fmt.Sprintf("group/id-%d-%d", i, j), []byte(head+"play kernel\n"+text))
			if err != nil {
				t.Fatalf("scenario %d-%d: %v", i, j, err)
			}
			list = append(list, scenario.Plan([]*scenario.Scenario{s}, nil, self)...)
		}
	}
	for _, r := range runClean(t, list, 0) {
		if got := outcome(r); got != "pass" {
			t.Errorf("%s: got %s, want pass\n%s", r.Name, got, strings.Join(r.Transcript, "\n"))
		}
	}
	if left, err := filepath.Glob(filepath.Join(os.TempDir(), fmt.Sprintf("scm-interop-%d-*", os.Getpid()))); err != nil || len(left) > 0 {
		t.Errorf("left after the cases: %v, %v", left, err)
	}
}

// If the system lacks something that a case needs, the case is unsupported, and the result gives the reason.
func TestNeeds(t *testing.T) {
	got := kernel(t, "stream", "needs rightsnotrunc\nA> sendmsg payload=00\nA< ok n=1\n")
	if got != "pass" && !strings.HasPrefix(got, "unsupported: this kernel has no socket option rightsnotrunc: ") {
		t.Errorf("needs rightsnotrunc: got %s, want pass, or unsupported with the reason", got)
	}
	got = kernel(t, "stream", "files a=kvm\nA> sendmsg payload=00\nA< ok n=1\n")
	if got != "pass" && !strings.HasPrefix(got, "unsupported: this system has no kvm: ") &&
		!strings.HasPrefix(got, "unsupported: this user may not create a kvm: ") {
		t.Errorf("needs kvm: got %s, want pass, or unsupported with the reason", got)
	}
	got = kernel(t, "stream", "needs root\nA> sendmsg payload=00\nA< ok n=1\n")
	want := "pass"
	if why := kinds.LacksRoot(); why != "" {
		want = "unsupported: " + why
	}
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A side is started as another user with a limit of its own, if the runner may do that.
func TestUsers(t *testing.T) {
	const text = "user A uid=64321 nofile=16\nfiles a=pipe-r\nR> setsockopt B passcred=1\nA> send payload=00 fds=a\nA< ok n=1\n" +
		"B> recvmsg bytes=1 control=space(1)+creds\nB< ok n=1 payload=00 fds=a control=creds(A),rights*1\n" +
		"A> send payload=00 fds=a*17\nA< ok n=1\nA> send payload=00 fds=a\nA< err ETOOMANYREFS\n"
	s := mustParse(t, head+"play sender\n"+text)
	p, self := probed(t, ""), runner(t)
	// Put the program where another user can run it.
	copied := filepath.Join(t.TempDir(), "fake")
	fdtest.Must(t, os.Link(p.Command[0], copied))
	fdtest.Must(t, os.Chmod(filepath.Dir(filepath.Dir(copied)), 0o755))
	p.Command[0] = copied
	after := mustParse(t, head+"files a=pipe-r\n"+send+recv)
	for _, r := range runClean(t, []scenario.Case{
		{Scenario: s, Type: "stream", A: p, B: self},
		{Scenario: after, Type: "stream", A: p, B: self},
		{Scenario: s, Type: "stream", A: self, B: self},
	}, 0) {
		want := "pass"
		switch {
		case r.Case.Scenario == s && kinds.LacksRoot() != "":
			want = "unsupported: " + kinds.LacksRoot()
		}
		if got := outcome(r); got != want {
			t.Errorf("%s: got %s, want %s\n%s", r.Name, got, want, strings.Join(r.Transcript, "\n"))
		}
	}
}
