//go:build linux

package machine

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/proof/must"
	"github.com/scm-rights/scm/proof/target"
)

const pool = "pool/main/l/linux/linux-image_1_amd64.deb"

// useTemporary gives the test an empty cache, and apt these sources.
func useTemporary(t *testing.T, sources string) {
	t.Helper()
	old, dir := cache, t.TempDir()
	t.Cleanup(func() { cache = old })
	cache = filepath.Join(t.TempDir(), "debian")
	must.OK(os.WriteFile(dir+"/sources.list", []byte(sources), 0o666))
	must.OK(os.WriteFile(dir+"/config", []byte("Dir::Etc \""+dir+"\";\n"), 0o666))
	t.Setenv("APT_CONFIG", dir+"/config")
	t.Setenv("DEBIAN_MIRROR", "")
}

// newMirror starts a server that has the package with this text. It counts the requests.
func newMirror(t *testing.T, text string) (address string, requests *int) {
	requests = new(int)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*requests++
		switch {
		case r.URL.Path == "/debian/"+pool && text != "":
			fmt.Fprint(w, text)
		case text == "":
			http.NotFound(w, r)
		default:
			http.Error(w, "broken", http.StatusInternalServerError)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL + "/debian", requests
}

func TestMirrors(t *testing.T) {
	fdtest.Program(t, "apt-get")
	useTemporary(t, "deb http://b/debian trixie main contrib\ndeb http://s/debian-security trixie-security main\n"+
		"deb file:/srv/debian trixie main\ndeb https://a trixie main\ndeb http://b/debian sid main\ndeb-src http://src trixie main\n")
	if list, want := mirrors(), []string{"http://b/debian/", "https://a/"}; !slices.Equal(list, want) {
		t.Errorf("got %q, want %q", list, want)
	}
	t.Setenv("DEBIAN_MIRROR", "http://mine http://other")
	if list, want := mirrors(), []string{"http://mine", "http://other"}; !slices.Equal(list, want) {
		t.Errorf("with DEBIAN_MIRROR: got %q, want %q", list, want)
	}
}

// Fetch downloads the package from the first mirror that has it with the right hash. Later calls use the cache.
func TestFetch(t *testing.T) {
	useTemporary(t, "")
	none, _ := newMirror(t, "")
	wrong, _ := newMirror(t, "another package")
	right, requests := newMirror(t, "the package")
	t.Setenv("DEBIAN_MIRROR", none+" "+wrong+" "+right+"/")
	sum := sumOf([]byte("the package"))
	for _, from := range []string{"a mirror", "the cache"} {
		file, err := Fetch(pool, sum)
		text, unread := os.ReadFile(file)
		if err := errors.Join(err, unread); err != nil || string(text) != "the package" {
			t.Fatalf("from %s: %s is %q, %v; want %q", from, file, text, err, "the package")
		}
	}
	if *requests != 1 {
		t.Errorf("%d requests, want 1", *requests)
	}
	// A damaged file in the cache is replaced.
	must.OK(os.WriteFile(filepath.Join(cache, filepath.Base(pool)), []byte("the pack"), 0o666))
	if _, err := Fetch(pool, sum); err != nil || *requests != 2 {
		t.Errorf("a damaged file in the cache: %v after %d requests, want 2", err, *requests)
	}
	files, err := os.ReadDir(cache)
	if err != nil || len(files) != 1 {
		t.Errorf("the cache has %v, %v; want one file", files, err)
	}
}

// Only a package that no mirror has, or mirrors that cannot be reached, count as missing.
func TestFetchFails(t *testing.T) {
	none, _ := newMirror(t, "")
	wrong, _ := newMirror(t, "another package")
	broken := strings.TrimSuffix(wrong, "debian") + "broken"
	short := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "the pack")
	}))
	t.Cleanup(short.Close)
	const dropped, other, nowhere = "its version was dropped", "another Debian mirror, or copy the package to ", "http://127.0.0.1:1"
	for _, c := range []struct {
		name, mirrors string
		missing       bool
		want          []string
		not           string
	}{
		{"no mirror has it", none + " " + none, true, []string{pool, dropped, "DEBIAN_MIRROR", none + ": not found"}, "SHA-256"},
		{"another hash", none + " " + wrong, false, []string{wrong + ": the SHA-256 is " + sumOf([]byte("another package")), other}, dropped},
		{"a broken mirror", none + " " + broken, false, []string{broken + ": 500 Internal Server Error", other}, dropped},
		{"part of it", short.URL, false, []string{short.URL + ": unexpected EOF", other}, dropped},
		{"no server", none + " " + nowhere, true, []string{nowhere + ": ", "connection refused", other}, dropped},
		{"a mistyped address", "htp://127.0.0.1", false, []string{"htp://127.0.0.1: ", "unsupported protocol scheme", other}, dropped},
		{"no mirror", "", true, []string{"DEBIAN_MIRROR"}, dropped},
	} {
		t.Run(c.name, func(t *testing.T) {
			useTemporary(t, "")
			t.Setenv("DEBIAN_MIRROR", c.mirrors)
			t.Setenv("NO_PROXY", "127.0.0.1")
			_, err := Fetch(pool, sumOf([]byte("the package")))
			if err == nil || errors.Is(err, target.ErrMissing) != c.missing {
				t.Fatal(err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
			}
			if strings.Contains(err.Error(), c.not) {
				t.Errorf("got %v, without %q", err, c.not)
			}
			if _, err := os.Stat(cache); err == nil {
				t.Error("something is in the cache")
			}
		})
	}
}

// A write that fails, here to a full device, does not change the file.
func TestReplaceFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.deb")
	must.OK(os.WriteFile(file, []byte("good"), 0o666))
	part := fmt.Sprintf("%s.%d", file, os.Getpid())
	must.OK(os.Symlink("/dev/full", part))
	if err := must.Try(func() { replace(file, []byte("new")) }); !errors.Is(err, unix.ENOSPC) {
		t.Error(err)
	}
	if info, err := os.Lstat(file); err != nil || info.Size() != 4 || !info.Mode().IsRegular() {
		t.Error("the file has changed", err)
	}
	if _, err := os.Lstat(part); err == nil {
		t.Error("a part is left")
	}
}

func TestFetchOnlyBelowPoolMain(t *testing.T) {
	useTemporary(t, "")
	address, requests := newMirror(t, "the package")
	t.Setenv("DEBIAN_MIRROR", address)
	for _, path := range []string{"pool/contrib/a.deb", "pool/main/../../x.deb", "/pool/main/a.deb", "pool/main/", "pool/main/a//b.deb", ""} {
		if _, err := Fetch(path, sumOf([]byte("the package"))); err == nil || !strings.Contains(err.Error(), "not below pool/main") {
			t.Errorf("%q: got %v, want an error that it is not below pool/main", path, err)
		}
	}
	if *requests > 0 {
		t.Error("it asked the mirror")
	}
}
