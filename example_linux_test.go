package scm_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
)

func ExamplePeerCred() {
	a, b := pairOfSockets()
	defer unix.Close(a)
	defer unix.Close(b)

	peer, err := scm.PeerCred(a)
	must(err)
	fmt.Println("this process:", peer.PID == os.Getpid())
	fmt.Println("this user:", peer.UID == os.Geteuid())
	// Output:
	// this process: true
	// this user: true
}

// Only the owner and the group can connect, from the moment the socket file exists. The server accepts only
// clients that send the password.
func ExampleConfig_Listen() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "scm")
	must(err)
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "socket")

	config := scm.Config{
		Mode: 0o660,
		Check: func(c *scm.Conn) error {
			p := make([]byte, 6)
			if _, err := io.ReadFull(c, p); err != nil || string(p) != "please" {
				return errors.New("not polite")
			}
			return nil
		},
	}
	l, err := config.Listen(ctx, "unix", path)
	must(err)
	defer l.Close()
	info, err := os.Stat(path)
	must(err)
	fmt.Println(info.Mode().Perm())

	for _, word := range []string{"let me", "please"} {
		c, err := scm.Dial(ctx, "unix", path)
		must(err)
		defer c.Close()
		fmt.Fprint(c, word)
	}
	c, err := l.AcceptConn()
	must(err)
	defer c.Close()
	fmt.Println("accepted at", filepath.Base(c.LocalAddr().String()))
	// Output:
	// -rw-rw----
	// accepted at socket
}

// This server accepts only its own user and root. The listener closes other connections before the server
// sees them.
func ExampleConn_PeerCred() {
	sameUser := func(c *scm.Conn) error {
		peer, err := c.PeerCred()
		if err == nil && peer.UID != os.Geteuid() && peer.UID != 0 {
			err = os.ErrPermission
		}
		return err
	}
	l, err := scm.Config{Check: sameUser}.Listen(context.Background(), "unix", "")
	must(err)
	defer l.Close()

	client, err := scm.Dial(context.Background(), "unix", l.Addr().String())
	must(err)
	defer client.Close()
	server, err := l.AcceptConn()
	must(err)
	defer server.Close()
	fmt.Println("accepted")
	// Output: accepted
}

// By the time you use a PID, it can belong to another process. A pidfd always refers to the same process.
func ExamplePeerPIDFD() {
	a, b := pairOfSockets()
	defer unix.Close(a)
	defer unix.Close(b)

	pidfd, err := scm.PeerPIDFD(a)
	if errors.Is(err, errors.ErrUnsupported) { // before Linux 6.5
		peer, err := scm.PeerCred(a)
		must(err)
		pidfd, err = unix.PidfdOpen(peer.PID, 0)
		must(err)
	} else {
		must(err)
	}
	// A pidfd is readable once its process has ended. The Go runtime can wait for that until a deadline.
	must(unix.SetNonblock(pidfd, true))
	process, err := scm.NewFile(pidfd, "pidfd")
	must(err)
	defer process.Close()
	must(process.SetReadDeadline(time.Now().Add(10 * time.Millisecond)))
	raw, err := process.SyscallConn()
	must(err)
	waited := false
	err = raw.Read(func(uintptr) (ended bool) { // called again once the pidfd is readable
		ended, waited = waited, true
		return ended
	})
	fmt.Println("running:", errors.Is(err, os.ErrDeadlineExceeded))
	// Output: running: true
}

// A privileged helper finds out which service is asking. The cgroup of a service of systemd ends with its name, such as
// cups.service. The pidfd shows that the PID was not reused in the meantime.
func ExampleConn_PeerPIDFD() {
	helper, client := twoConns()
	defer helper.Close()
	defer client.Close()

	pidfd, err := helper.PeerPIDFD()
	if errors.Is(err, errors.ErrUnsupported) { // before Linux 6.5
		peer, _ := helper.PeerCred()
		pidfd, err = unix.PidfdOpen(peer.PID, 0)
	}
	must(err)
	defer unix.Close(pidfd)
	info, err := os.ReadFile(fmt.Sprint("/proc/self/fdinfo/", pidfd))
	must(err)
	var pid int // 0 or -1 if it is in another PID namespace or has ended
	for line := range strings.Lines(string(info)) {
		fmt.Sscanf(line, "Pid: %d", &pid)
	}
	cgroup, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	must(err)
	must(unix.PidfdSendSignal(pidfd, 0, nil, 0)) // ESRCH: the process has ended, and cgroup may be another's
	fmt.Println(pid == os.Getpid(), strings.Contains(string(cgroup), ":/"))
	// Output: true true
}

// The process that sends a message need not be the one that made the connection. With each message, the
// kernel reports the sender's credentials and, on Linux 6.5 and later, a pidfd of the sender.
func ExamplePassCred() {
	a, b := pairOfSockets()
	defer unix.Close(a)
	defer unix.Close(b)
	must(scm.PassCred(b, true))
	if err := scm.PassPIDFD(b, true); !errors.Is(err, errors.ErrUnsupported) {
		must(err)
	}

	must(scm.Send(a, &scm.Message{Buffers: [][]byte{[]byte("it is me")}}, 0))
	var sender scm.Cred
	var pidfd int
	m := scm.Message{Buffers: [][]byte{make([]byte, 64)}, Cred: &sender, PIDFD: &pidfd}
	must(scm.Recv(b, &m, 0))
	fmt.Printf("%s: %v\n", m.Buffers[0][:m.N], sender.PID == os.Getpid())
	if pidfd >= 0 { // the caller closes it
		defer unix.Close(pidfd)
	}
	// Output: it is me: true
}

// A server that expects no descriptors makes the kernel reject them. If the kernel cannot do that, the
// server receives with a capacity of 0 descriptors.
func ExamplePassRights() {
	server, client := pairOfSockets()
	defer unix.Close(server)
	defer unix.Close(client)
	if err := scm.PassRights(server, false); !errors.Is(err, errors.ErrUnsupported) { // from Linux 6.16
		must(err)
	}

	_, err := scm.WriteFD(client, []byte("a file"), 0)
	if errors.Is(err, unix.EPERM) {
		_, err = unix.Write(client, []byte("a word")) // plain data still gets through
	}
	must(err)
	m := scm.Message{Buffers: [][]byte{make([]byte, 64)}}
	must(scm.Recv(server, &m, 0))
	fmt.Println(m.N, "bytes,", m.NFD, "descriptors")
	// Output: 6 bytes, 0 descriptors
}

// sun_path holds at most 107 bytes. Dial and Listen reach a longer path through its directory.
func ExampleDial_longPath() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "scm")
	must(err)
	defer os.RemoveAll(dir)
	deep := filepath.Join(dir, strings.Repeat("deep/", 30))
	must(os.MkdirAll(deep, 0o700))
	path := filepath.Join(deep, "socket")

	l, err := scm.Listen(ctx, "unix", path)
	must(err)
	defer l.Close()
	c, err := scm.Dial(ctx, "unix", path)
	must(err)
	defer c.Close()
	fmt.Println(len(path) > 107, l.Addr().String() == path)
	// Output: true true
}

// An abstract name has no file, and disappears with its socket.
func ExampleDial_abstract() {
	ctx := context.Background()
	l, err := scm.Listen(ctx, "unixpacket", "") // Linux chooses one
	must(err)
	c, err := scm.Dial(ctx, "unixpacket", l.Addr().String())
	must(err)
	c.Close()
	l.Close()
	_, err = scm.Dial(ctx, "unixpacket", l.Addr().String())
	fmt.Println(err != nil)
	// Output: true
}

// A server that maps files from its clients accepts exactly one memfd that is sealed against shrinking and
// writing. Without the first seal, a client could shrink the file after the server has mapped it, and SIGBUS
// would kill the server at its next access. Without the second seal, a client could change the content after
// the server has checked it.
func ExampleExpect() {
	server, client := pairOfSockets()
	defer unix.Close(server)
	defer unix.Close(client)

	sealed := scm.Expect{
		Min: 1, Max: 1,
		Kind:  scm.KindMemfd,
		Seals: unix.F_SEAL_SHRINK | unix.F_SEAL_WRITE,
	}
	serve := func() {
		m := scm.Message{Buffers: [][]byte{make([]byte, 64)}, FDs: make([]int, 1)}
		if err := sealed.Recv(server, &m, 0); err != nil {
			fmt.Println(err) // Recv has closed the descriptors
			return
		}
		fd := m.FDs[0]
		defer unix.Close(fd)

		// The file cannot become shorter than this.
		var st unix.Stat_t
		must(unix.Fstat(fd, &st))
		data, err := unix.Mmap(fd, 0, int(st.Size), unix.PROT_READ, unix.MAP_PRIVATE)
		must(err)
		defer unix.Munmap(data)
		fmt.Printf("mapped %q\n", data)
	}
	pass := func(fds ...int) {
		must(scm.Send(client, &scm.Message{Buffers: [][]byte{{0}}, FDs: fds}, 0))
	}

	fd, err := unix.MemfdCreate("example", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	must(err)
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte("hello"))
	must(err)

	pass(client) // something else
	serve()
	pass(fd) // not yet sealed
	serve()
	pass() // nothing
	serve()
	pass(fd, fd) // more than len(m.FDs)
	serve()

	_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, sealed.Seals)
	must(err)
	pass(fd)
	serve()
	// Output:
	// scm: wanted a memfd sealed against shrinking and writing, got a Unix stream socket (read-write)
	// scm: wanted a memfd sealed against shrinking and writing, got a memfd (read-write) without seals
	// scm: wanted exactly 1 descriptor, got no descriptor
	// scm: wanted a whole message, got a truncated one with 1 descriptor
	// mapped "hello"
}

// A process that receives a log file checks that every write will append to it.
func ExampleExpect_flags() {
	log := scm.Expect{Min: 1, Max: 1, Kind: scm.KindRegular, Access: scm.AccessWrite, Flags: unix.O_APPEND}
	a, b, err := scm.Config{Expect: &log}.Pair("unix")
	must(err)
	defer a.Close()
	defer b.Close()
	f, err := os.CreateTemp("", "log") // without O_APPEND
	must(err)
	defer os.Remove(f.Name())
	defer f.Close()

	must(a.SendFile("log", f))
	_, err = b.RecvFile()
	fmt.Println(err)
	// Output:
	// scm: wanted a regular file open for writing with O_APPEND, got a regular file (read-write, without O_APPEND)
}

// Enforce checks descriptors that were received by other means.
func ExampleExpect_Enforce() {
	a, b := pairOfSockets()
	defer unix.Close(a)
	defer unix.Close(b)

	r, w, err := os.Pipe()
	must(err)
	defer r.Close()
	defer w.Close()
	_, err = scm.WriteFD(a, []byte{0}, int(r.Fd()))
	must(err)

	_, fd, err := scm.ReadFD(b, make([]byte, 1))
	must(err)
	log := scm.Expect{Min: 1, Max: 1, Access: scm.AccessWrite} // a file to write a log to
	fmt.Println(log.Enforce([]int{fd}))
	// Output:
	// scm: wanted a file open for writing, got a pipe (read end)
}

// Expect.Recv rejects a truncated message. A program that can use the first descriptors calls the function Recv, and
// then Enforce.
func ExampleExpect_Enforce_truncated() {
	a, b := pairOfSockets()
	defer unix.Close(a)
	defer unix.Close(b)
	r, w, err := os.Pipe()
	must(err)
	defer r.Close()
	defer w.Close()
	must(scm.Send(a, &scm.Message{Buffers: [][]byte{{0}}, FDs: []int{int(r.Fd()), int(w.Fd()), a}}, 0))

	m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 2)}
	must(scm.Recv(b, &m, 0))
	defer m.Close()
	err = scm.Expect{Min: 1, Max: 2, Kind: scm.KindPipe}.Enforce(m.FDs[:m.NFD])
	fmt.Println(m.NFD, m.Truncated(), err)
	// Output:
	// 2 true <nil>
}

// One message can carry files of different kinds, such as a userfaultfd and the memfd with the memory of a virtual
// machine. One call to Enforce checks each kind. If one fails, the caller closes the descriptors of the other.
func ExampleExpect_Enforce_mixedKinds() {
	a, b := pairOfSockets()
	defer unix.Close(a)
	defer unix.Close(b)
	memory, err := unix.MemfdCreate("guest", unix.MFD_CLOEXEC)
	must(err)
	defer unix.Close(memory)
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	must(err)
	defer unix.Close(event)
	must(scm.Send(a, &scm.Message{Buffers: [][]byte{{0}}, FDs: []int{event, memory}}, 0))

	m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 2)}
	must(scm.Expect{Min: 2, Max: 2}.Recv(b, &m, 0))
	err = scm.Expect{Min: 1, Max: 1, Kind: "userfaultfd"}.Enforce(m.FDs[:1])
	if err == nil {
		err = scm.Expect{Min: 1, Max: 1, Kind: scm.KindMemfd}.Enforce(m.FDs[1:])
	}
	if err != nil {
		scm.CloseFDs(m.FDs...) // Enforce has replaced those that it closed with -1
	}
	fmt.Println(err)
	// Output:
	// scm: wanted a userfaultfd, got an eventfd (read-write)
}

// An Expect distinguishes sockets by their family and type, as in socket(2). The error reports which
// descriptor is wrong.
func ExampleExpectError() {
	a, b := twoConns()
	defer a.Close()
	defer b.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	tcp, err := l.(*net.TCPListener).File()
	must(err)
	defer tcp.Close()
	l.Close()
	_, err = a.WriteFiles([]byte{0}, tcp, os.Stdin)
	must(err)

	tcpSockets := scm.Expect{Min: 1, Max: 8, Family: unix.AF_INET, Type: unix.SOCK_STREAM}
	server, err := scm.Config{Expect: &tcpSockets}.NewConn(b.UnixConn)
	must(err)
	m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 8)}
	var failed *scm.ExpectError
	if err := server.Recv(&m, 0); errors.As(err, &failed) {
		fmt.Printf("descriptor %d should be %s\n", failed.Index, failed.Want)
		fmt.Println("received:", m.N, "byte,", m.NFD, "descriptors")
	}
	// Output:
	// descriptor 1 should be an IPv4 stream socket
	// received: 1 byte, 0 descriptors
}

// This Conn accepts pipes that are open for reading, and closes anything else.
func ExampleConfig() {
	config := scm.Config{Expect: &scm.Expect{Max: 1, Kind: scm.KindPipe, Access: scm.AccessRead}}
	a, b, err := config.Pair("unix")
	must(err)
	defer a.Close()
	defer b.Close()
	r, w, err := os.Pipe()
	must(err)
	defer r.Close()
	defer w.Close()

	for _, f := range []*os.File{w, r} {
		_, err = a.WriteFiles([]byte{0}, f)
		must(err)
		_, files, err := b.ReadFiles(make([]byte, 1), 1)
		fmt.Println(len(files), err)
		for _, f := range files {
			f.Close()
		}
	}
	// Output:
	// 0 scm: wanted a pipe open for reading, got a pipe (write end)
	// 1 <nil>
}

// Enforce can be used to find out what a descriptor refers to. Enforce closes a descriptor that does not
// match, so this example passes it duplicates.
func ExampleKind() {
	kinds := []scm.Kind{
		scm.KindRegular, scm.KindDirectory, scm.KindSymlink, scm.KindPipe, scm.KindSocket,
		scm.KindCharDevice, scm.KindBlockDevice, scm.KindMemfd, scm.KindEventfd, scm.KindPIDFD,
	}
	accesses := []scm.Access{
		scm.AccessRead, scm.AccessWrite, scm.AccessReadWrite, scm.AccessReadOnly,
		scm.AccessWriteOnly, scm.AccessPath, scm.AccessAny,
	}
	for _, path := range []string{"/", os.DevNull, "/proc/self/exe"} {
		f, err := os.Open(path)
		must(err)
		defer f.Close()
		for _, kind := range kinds {
			for _, access := range accesses {
				fd, err := unix.Dup(int(f.Fd()))
				must(err)
				if (scm.Expect{Min: 1, Max: 1, Kind: kind, Access: access}).Enforce([]int{fd}) == nil {
					fmt.Println(path, kind, access)
					unix.Close(fd)
				}
			}
		}
	}
	// Output:
	// / directory read
	// / directory read-only
	// / directory any
	// /dev/null character device read
	// /dev/null character device read-only
	// /dev/null character device any
	// /proc/self/exe regular read
	// /proc/self/exe regular read-only
	// /proc/self/exe regular any
}

// A socket that has no Conn yet can be passed too, such as one that net.Dialer is about to connect. Here another
// process sets an option of the socket first.
func ExampleConn_WriteFDs_dialer() {
	app, daemon, err := scm.Config{Expect: &scm.Expect{Min: 1, Max: 1, Kind: scm.KindSocket}}.Pair("unix")
	must(err)
	defer app.Close()
	defer daemon.Close()
	go func() {
		p, fds := make([]byte, 64), make([]int, 1)
		n, _, err := daemon.ReadFDs(p, fds)
		must(err)
		defer scm.CloseFDs(fds...)
		must(unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_PRIORITY, 3))
		fmt.Printf("set an option of the socket for %s\n", p[:n])
		fmt.Fprint(daemon, "done")
	}()

	dialer := net.Dialer{ControlContext: func(ctx context.Context, _, addr string, raw syscall.RawConn) (err error) {
		must(raw.Control(func(fd uintptr) { _, err = app.WithContext(ctx).WriteFDs([]byte(addr), int(fd)) }))
		must(err)
		_, err = app.WithContext(ctx).Read(make([]byte, 64)) // wait for the daemon
		return err
	}}
	c, err := dialer.Dial("udp", "127.0.0.1:9")
	must(err)
	c.Close()
	// Output: set an option of the socket for 127.0.0.1:9
}

// A child process gets a received file as descriptor 3, and those after it as 4 and up.
func ExampleConn_ReadFiles_child() {
	a, b := twoConns()
	defer a.Close()
	defer b.Close()
	r, w, err := os.Pipe()
	must(err)
	defer r.Close()
	_, err = a.WriteFiles([]byte("log"), w)
	must(err)
	w.Close()

	_, files, err := b.ReadFiles(make([]byte, 64), 1)
	must(err)
	child := exec.Command("sh", "-c", "echo hello from the child >&3")
	child.ExtraFiles = files
	must(child.Run())
	for _, f := range files {
		f.Close()
	}
	text, err := io.ReadAll(r)
	must(err)
	fmt.Printf("%s", text)
	// Output: hello from the child
}

// More than MaxFDs files need several messages. On a seqpacket socket, each receive returns one.
func ExampleConn_WriteFiles_manyFiles() {
	a, b, err := scm.Pair("unixpacket")
	must(err)
	defer b.Close()
	for batch := range slices.Chunk(slices.Repeat([]*os.File{os.Stdin}, 300), scm.MaxFDs) {
		_, err := a.WriteFiles([]byte("files"), batch...)
		must(err)
	}
	a.Close()

	var all []*os.File
	for {
		_, files, err := b.ReadFiles(make([]byte, 64), scm.MaxFDs)
		if err == io.EOF {
			break
		}
		must(err)
		all = append(all, files...)
	}
	fmt.Println(len(all))
	for _, f := range all {
		f.Close()
	}
	// Output: 300
}
