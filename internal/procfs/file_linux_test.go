package procfs

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func opened(t *testing.T, path string, flags int) int {
	t.Helper()
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o600)
	must(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

func dup(t *testing.T, fd int) int {
	t.Helper()
	d, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { _ = unix.Close(d) })
	return d
}

func TestIdentify(t *testing.T) {
	file := opened(t, t.TempDir(), unix.O_RDONLY)
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	must(t, err)
	defer unix.Close(event)
	files, err := Files(Self)
	must(t, err)
	for fd, anonymous := range map[int]bool{file: false, event: true} {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			t.Fatalf("descriptor %d: %v", fd, err)
		}
		want := FileID{uint64(st.Dev), st.Ino, st.Mode & unix.S_IFMT}
		byPath, pathErr := Identify(os.Getpid(), fd)
		own, ownErr := IdentifyOwn(fd)
		if byPath != want || own != want || files[fd] != want || pathErr != nil || ownErr != nil {
			t.Errorf("anonymous=%v: Identify returns %v, %v, IdentifyOwn %v, %v, and Files %v; want %v",
				anonymous, byPath, pathErr, own, ownErr, files[fd], want)
		}
		if want.Anonymous() != anonymous {
			t.Errorf("%v: Anonymous is %t", want, !anonymous)
		}
	}
	if _, err := Identify(Self, -1); !IsGone(err) {
		t.Errorf("Identify: got %v, want ENOENT", err)
	}
	if _, err := IdentifyOwn(-1); !errors.Is(err, unix.EBADF) {
		t.Errorf("IdentifyOwn: got %v, want EBADF", err)
	}
	if _, err := Files(noProcess); !IsGone(err) {
		t.Errorf("Files: got %v, want ENOENT", err)
	}
}

func TestSame(t *testing.T) {
	name := t.TempDir() + "/file"
	a := opened(t, name, unix.O_RDWR|unix.O_CREAT)
	again := opened(t, name, unix.O_RDWR)
	byPath := opened(t, name, unix.O_PATH)
	r, _ := pipe(t)
	want := ByKcmp
	if _, err := Kcmp(Self, a, os.Getpid(), a); err != nil {
		want = ByAppend
	}
	for _, c := range []struct {
		name  string
		other int
		same  bool
		way   string
	}{
		{"a duplicate", dup(t, a), true, want},
		{"opened again", again, false, want},
		{"another file", r, false, ByInode},
	} {
		same, way, err := Same(Self, a, os.Getpid(), c.other)
		if same != c.same || way != c.way || err != nil {
			t.Errorf("%s: got %t, %s, %v, want %t, %s", c.name, same, way, err, c.same, c.way)
		}
	}
	for _, fds := range [][2]int{{a, -1}, {-1, a}} {
		if same, _, err := Same(Self, fds[0], Self, fds[1]); same || !IsGone(err) {
			t.Errorf("%v: got %t, %v, want ENOENT", fds, same, err)
		}
	}
	if same, err := FollowsAppend(a, Self, dup(t, a)); !same || err != nil {
		t.Errorf("FollowsAppend, a duplicate: got %t, %v", same, err)
	}
	if same, err := FollowsAppend(a, Self, again); same || err != nil {
		t.Errorf("FollowsAppend, opened again: got %t, %v", same, err)
	}
	if _, err := FollowsAppend(byPath, Self, byPath); err == nil {
		t.Error("FollowsAppend, O_PATH: got no error")
	}
}

func TestKind(t *testing.T) {
	for name, want := range map[string]string{
		"anon_inode:[eventfd]": "eventfd", "anon_inode:inotify": "inotify", "anon_inode:[pidfd]": "pidfd", "pidfd:[12]": "pidfd",
		"pipe:[4711]": "pipe", "socket:[7]": "socket", "net:[4026531840]": "net", "/memfd:x": "", "/dev/null": "",
	} {
		if got := Kind(name, false); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"/dmabuf:", "/dmabuf:name"} {
		if typeless, path := Kind(name, true), Kind(name, false); typeless != "dmabuf" || path != "" {
			t.Errorf("%s: got %q and %q, want dmabuf and no kind", name, typeless, path)
		}
	}
	r, _ := pipe(t)
	if name, err := ReadLink(Self, r); err != nil || Kind(name, false) != "pipe" || !strings.HasPrefix(name, "pipe:[") {
		t.Errorf("got %s, %v", name, err)
	}
}
