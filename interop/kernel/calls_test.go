package kernel

import (
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/contract"
)

// A call has the fields of one of its usages, with valid values.
func TestWrongCommands(t *testing.T) {
	for _, c := range []struct{ lines, want string }{
		{"sendmsg;sendmsg control=rights(3);sendmsg payload=00 color=red", "usage: sendmsg payload=P [control=C] [controllen=N] [flags=F] [name=ADDR] [sock=x] [at=K]"},
		{"recvmsg control=0", "usage: recvmsg bytes=N"},
		{"dup;dup fd=3 sock=3;listen fd=3;stat sock=3", "usage: "},
		{"connect;connect name=auto fd=3", "usage: connect [sock=x] name=ADDR, or connect [sock=x] fd=y"},
		{"fcntl fd=3;fcntl fd=3 get=fl set=fl:-", "usage: fcntl fd=x get=fl, or fcntl fd=x set=fl:nonblock"},
		{"setuid;setuid uid=1 pid=A", "usage: setuid uid=N, or setuid pid=A"},
		{"setsockopt;setsockopt sock=3", "usage: setsockopt [sock=x] NAME=VALUE…"},
		{"sockname now", "usage: sockname [sock=x]"},
		{"dup fd=-;dup fd=3,3;dup fd=99999999999", "fd="},
		{"splice fds=3 bytes=1;splice fds=3,3,3 bytes=1;splice fds=- bytes=1;sendfile fds=3 bytes=1;epoll fds=3", "fds="},
		{"splice fds=3,3 bytes=x;sendfile fds=3,3 bytes=99999999999;read fd=3 bytes=-1;recvmmsg bytes=bad;recvmmsg bytes=1|", "bytes="},
		{"sendmmsg payload=bad;sendmmsg payload=none;write fd=3 payload=0", "payload="},
		{"sendmsg payload=00 at=-1;read fd=3 bytes=1 at=99999999999;write fd=3 payload=00 at=0x1", "at="},
		{"sendmsg payload=00 flags=inherit;sendmmsg payload=00 flags=inherit;recvmmsg bytes=1 flags=none;open path=f flags=wide", "flags="},
		{"sendmsg payload=00 control=hex(00):len=1;sendmsg payload=00 control=rights(4294967296);sendmsg payload=00 control=cmsg(4294967296,1,-);sendmsg payload=00 control=rights(3)x", "control="},
		{"sendmsg payload=00 control=rights(3):len=-5;sendmsg payload=00 control=1000000000*rights();recvmsg bytes=1 control=0x7fffffff;recvmsg bytes=1 control=edge(0-5)", "control="},
		{"recvmsg bytes=1 control=0-1;recvmsg bytes=1 control=len(x);recvmsg bytes=1 control=-5;recvmmsg bytes=1 control=null", "control="},
		{"sendmmsg payload=00 control=6000000*cmsg(9,9,-)", "control="},
		{"bind name=here;bind name=auto:x;bind name=inet:x;bind name=inet:65536;sendmsg payload=00 name=auto;sendmsg payload=00 name=inet:1;connect name=", "name="},
		{"socket type=tcp;socketpair type=", "type="},
		{"socket family=inet6", "family="},
		{"listen backlog=x;listen backlog=99999999999", "backlog="},
		{"shutdown how=now;epoll fds=3,3 how=level;lock fd=3 how=twice", "how="},
		{"lock fd=3 how=none kind=flok", "kind="},
		{"setsockopt passcred=99999999999", "passcred="},
		{"getsockopt option=linger", "option="},
		{"poll events=in,sideways", "events="},
		{"poll events=in wait=1;epollwait fd=3 wait=ja", "wait="},
		{"fcntl fd=3 get=size", "get="},
		{"fcntl fd=3 set=fl;fcntl fd=3 set=fd:nonblock;fcntl fd=3 set=pipe_sz:x;fcntl fd=3 set=size:1", "set="},
		{"seal fd=3 seals=all", "seals="},
		{"lseek fd=3 offset=end;lseek fd=3 offset=99999999999", "offset="},
		{"truncate fd=3 size=x", "size="},
		{"mmap fd=3 prot=exec", "prot="},
		{"signal fd=3 signal=SIGKILL;signal fd=3 signal=SIGTERM", "signal="},
		{"chmod path=f mode=600;chmod path=f mode=00640;chmod path=f mode=07;mkdir path=d mode=0800;open path=f mode=rw", "mode="},
		{"chown path=f uid=-1;setuid uid=root", "uid="},
		{"setuid pid=C", "pid="},
	} {
		for line := range strings.SplitSeq(c.lines, ";") {
			if _, err := contract.ParseCommand(Vocabulary, line); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: got %v, want %s", line, err, c.want)
			}
		}
	}
}
