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
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/scm-rights/scm/proof/must"
	"github.com/scm-rights/scm/proof/target"
)

// Tests change these variables.
var (
	cache = "build/debian" // of packages; relative to the root of the repository
	apt   = "/etc/apt"
)

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
	files, _ := filepath.Glob(apt + "/sources.list.d/*") // the pattern is correct
	for _, file := range append([]string{apt + "/sources.list"}, files...) {
		text, _ := os.ReadFile(file) // a missing file names no mirror
		parse := map[string]func(string) []source{".list": oneLine, ".sources": stanzas}[filepath.Ext(file)]
		if parse == nil {
			continue
		}
		for _, s := range parse(string(text)) {
			for _, uri := range s.uris {
				security := !slices.ContainsFunc(s.suites, func(suite string) bool { return !strings.Contains(suite, "security") })
				if !security && strings.HasPrefix(uri, "http") && !slices.Contains(list, uri) {
					list = append(list, uri)
				}
			}
		}
	}
	return list
}

type source struct{ uris, suites []string }

// oneLine parses a sources.list. Its lines are: deb [OPTIONS] URI SUITE COMPONENT….
func oneLine(text string) (list []source) {
	for line := range strings.Lines(text) {
		w := strings.Fields(line)
		if len(w) > 1 && strings.HasPrefix(w[1], "[") {
			last := slices.IndexFunc(w, func(word string) bool { return strings.HasSuffix(word, "]") })
			w = slices.Delete(w, 1, max(last, 1)+1)
		}
		if len(w) > 2 && w[0] == "deb" {
			list = append(list, source{w[1:2], w[2:3]})
		}
	}
	return list
}

// stanzas parses a file in deb822 format. A line that begins with a space continues the field before it.
func stanzas(text string) (list []source) {
	fields, name := map[string][]string{}, ""
	for line := range strings.Lines(text + "\n\n") {
		key, value, found := strings.Cut(line, ":")
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.TrimSpace(line) == "":
			if !slices.Contains([]string{"no", "false", "off", "0"}, strings.Join(fields["enabled"], "")) {
				list = append(list, source{fields["uris"], fields["suites"]})
			}
			fields = map[string][]string{}
		case found && strings.TrimLeft(line, " \t") == line:
			name = strings.ToLower(key)
			fields[name] = strings.Fields(value)
		default:
			fields[name] = append(fields[name], strings.Fields(line)...)
		}
	}
	return list
}
