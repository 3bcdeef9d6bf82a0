//go:build linux

package machine

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/scm-rights/scm/proof/must"
	"github.com/scm-rights/scm/proof/target"
)

// cache is the directory of packages, relative to the root of the repository. Tests change it.
var cache = "build/debian"

// Fetch returns the path of a package with the given SHA-256. It downloads the package unless it is in the cache.
// pool is the path below the root of a Debian mirror.
func Fetch(pool, sum string) (string, error) {
	if !strings.HasPrefix(pool, "pool/main/") || path.Clean(pool) != pool {
		return "", fmt.Errorf("%s is not below pool/main", pool)
	}
	file := filepath.Join(cache, path.Base(pool))
	if text, err := os.ReadFile(file); err == nil && sumOf(text) == sum {
		return file, nil
	}
	list := mirrors()
	if len(list) == 0 {
		return "", fmt.Errorf("%w: apt's sources name no mirror; set DEBIAN_MIRROR to the address of a Debian mirror", target.ErrMissing)
	}
	var errs []error
	for _, mirror := range list {
		var text []byte
		err := must.Try(func() { text = get(mirror, pool) })
		if err == nil && sumOf(text) != sum {
			err = fmt.Errorf("the SHA-256 is %s, not %s", sumOf(text), sum)
		}
		if err == nil {
			return file, must.Try(func() { replace(file, text) })
		}
		errs = append(errs, fmt.Errorf("%s: %w", mirror, err))
	}
	all := func(is func(error) bool) bool {
		return !slices.ContainsFunc(errs, func(err error) bool { return !is(err) })
	}
	isNotFound := func(err error) bool { return errors.Is(err, errNotFound) }
	err := fmt.Errorf("cannot download %s; set DEBIAN_MIRROR to the address of another Debian mirror, or copy the package to %s\n%w",
		pool, file, errors.Join(errs...))
	switch {
	case all(isNotFound):
		err = fmt.Errorf("%w: no mirror has %s; if its version was dropped, put a newer one into the table that lists it; if these are "+
			"not Debian mirrors, set DEBIAN_MIRROR to the address of one\n%w", target.ErrMissing, pool, errors.Join(errs...))
	case all(func(err error) bool { return isNotFound(err) || isUnreachable(err) }):
		err = fmt.Errorf("%w: %w", target.ErrMissing, err)
	}
	return "", err
}

// isUnreachable reports whether a mirror did not answer, or could not be connected to.
func isUnreachable(err error) bool {
	var failed *net.OpError
	return errors.As(err, &failed) || os.IsTimeout(err)
}

func sumOf(text []byte) string { return fmt.Sprintf("%x", sha256.Sum256(text)) }

// replace writes a file so that a reader sees all of it or nothing.
func replace(file string, text []byte) {
	must.OK(os.MkdirAll(filepath.Dir(file), 0o777))
	part := fmt.Sprintf("%s.%d", file, os.Getpid())
	defer func() { _ = os.Remove(part) }() // fails after the rename
	must.OK(os.WriteFile(part, text, 0o666))
	must.OK(os.Rename(part, file))
}

var errNotFound = errors.New("not found")

// client gives up on a mirror that does not answer.
var client = &http.Client{Timeout: 10 * time.Minute, Transport: &http.Transport{
	Proxy:                 http.ProxyFromEnvironment,
	DialContext:           (&net.Dialer{Timeout: 30 * time.Second}).DialContext,
	ResponseHeaderTimeout: 30 * time.Second,
}}

func get(mirror, pool string) []byte {
	address := must.Get(url.JoinPath(mirror, pool))
	request := must.Get(http.NewRequestWithContext(stopped, http.MethodGet, address, nil))
	answer := must.Get(client.Do(request))
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		must.OK(errNotFound)
	default:
		must.OK(errors.New(answer.Status))
	}
	return must.Get(io.ReadAll(answer.Body))
}

// mirrors returns the addresses in DEBIAN_MIRROR, or, if it is not set, those that apt uses, in the order of its
// sources. It leaves out the archive of security updates, because packages have other paths there.
func mirrors() (list []string) {
	if list := strings.Fields(os.Getenv("DEBIAN_MIRROR")); len(list) > 0 {
		return list
	}
	// Without apt, there is no mirror.
	text, _ := exec.Command("apt-get", "indextargets", "--no-release-info", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages").Output()
	for line := range strings.Lines(string(text)) {
		suite, uri, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !strings.Contains(suite, "security") && strings.HasPrefix(uri, "http") && !slices.Contains(list, uri) {
			list = append(list, uri)
		}
	}
	return list
}
