package reference

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/scm-rights/scm/interop/peers/go/peer"
	"golang.org/x/sys/unix"
)

// A peer opposite may make links in the folder of the case. No call of ours follows one
// out of it.
func TestNoLinkIsFollowed(t *testing.T) {
	outside, inside := t.TempDir(), t.TempDir()
	kept := filepath.Join(outside, "kept")
	if err := os.WriteFile(kept, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"file": kept, "folder": outside, "new": filepath.Join(outside, "new")} {
		if err := os.Symlink(to, filepath.Join(inside, name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(inside)
	t.Cleanup(func() { home = "" })
	var c peer.Case
	if got := answer(c, "unlink path=file"); got != "err EXDEV" {
		t.Errorf("without a folder: %s", got)
	}
	if got := answer(c, "chdir path="+inside); got != "ok" {
		t.Fatal(got)
	}
	for line, want := range map[string]string{
		"open path=file flags=rdwr,trunc":          "err ELOOP",
		"open path=new flags=rdwr,create":          "err ELOOP",
		"open path=folder/kept flags=rdwr,trunc":   "err ENOTDIR",
		"open path=folder/new flags=rdwr,create":   "err ENOTDIR",
		"unlink path=folder/kept":                  "err ENOTDIR",
		"mkdir path=folder/d":                      "err ENOTDIR",
		"rename path=folder/kept to=x":             "err ENOTDIR",
		"rename path=file to=folder/x":             "err ENOTDIR",
		"link fd=0 path=folder/x":                  "err ENOTDIR",
		"chmod path=file mode=0777":                "err EXDEV",
		"chmod path=folder/kept mode=0777":         "err ENOTDIR",
		"chown path=file uid=1":                    "err EXDEV",
		"chdir path=folder":                        "err EXDEV",
		"unlink path=" + kept:                      "err EXDEV",
		"unlink path=../" + filepath.Base(outside): "err EXDEV",
	} {
		if got := answer(c, line); got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
	if got := answer(c, "unlink path=file"); got != "ok" { // the link, and not what it leads to
		t.Error(got)
	}
	var st unix.Stat_t
	if err := unix.Stat(kept, &st); err != nil || st.Mode&0o777 != 0o600 || st.Size != 4 || int(st.Uid) != os.Getuid() {
		t.Errorf("it is changed: %+v, %v", st, err)
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
	}
}
