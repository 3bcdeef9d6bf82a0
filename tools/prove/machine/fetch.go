//go:build linux

package machine

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/scm-rights/scm/internal/target"
)

// cache is the folder that keeps the packages, relative to the root of the repository.
const cache = "build/debian"

// Fetch returns the path of a package with the given SHA-256, which it downloads unless the cache has it.
// pool is the path below the root of a Debian mirror.
func Fetch(pool, sum string) (string, error) {
	if !strings.HasPrefix(pool, "pool/main/") || path.Clean(pool) != pool {
		return "", fmt.Errorf("%s is not below pool/main", pool)
	}
	file := filepath.Join(cache, path.Base(pool))
	if text, err := os.ReadFile(file); err == nil && sumOf(text) == sum {
		return file, nil
	}
	mirrors, err := mirrors()
	if err != nil {
		return "", err
	}
	var errs []error
	for _, mirror := range mirrors {
		text, err := get(mirror, pool)
		if err == nil && sumOf(text) != sum {
			err = fmt.Errorf("%s: the SHA-256 is %s, not %s", mirror, sumOf(text), sum)
		}
		if err == nil {
			return file, replace(file, text)
		}
		errs = append(errs, err)
	}
	text := "no mirror has " + pool
	if !slices.ContainsFunc(errs, func(err error) bool { return !errors.Is(err, errNotFound) }) {
		text += ": either its version was dropped, and the table that names it needs a newer one, or these are not Debian's " +
			"mirrors, and DEBIAN_MIRROR must be the address of one that is"
	}
	return "", fmt.Errorf("%w: %s\n%w", target.ErrMissing, text, errors.Join(errs...))
}

func sumOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// replace writes a file so that a reader sees all of it or nothing.
func replace(file string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		return err
	}
	part, err := os.CreateTemp(filepath.Dir(file), "part")
	if err != nil {
		return err
	}
	defer os.Remove(part.Name())
	_, err = part.Write(text)
	return errors.Join(err, part.Chmod(0o644), part.Close(), os.Rename(part.Name(), file))
}

var errNotFound = errors.New("not found")

// client gives up on a mirror that does not answer.
var client = &http.Client{Timeout: 10 * time.Minute, Transport: &http.Transport{
	Proxy:                 http.ProxyFromEnvironment,
	ResponseHeaderTimeout: 30 * time.Second,
}}

func get(mirror, pool string) ([]byte, error) {
	address, err := url.JoinPath(mirror, pool)
	if err != nil {
		return nil, err
	}
	answer, err := client.Get(address)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusOK:
		return io.ReadAll(answer.Body)
	case http.StatusNotFound:
		return nil, fmt.Errorf("%s: %w", mirror, errNotFound)
	}
	return nil, fmt.Errorf("%s: %s", mirror, answer.Status)
}

// mirrors returns the addresses in DEBIAN_MIRROR, or otherwise those that apt uses, except for security
// updates, which are in another archive.
func mirrors() ([]string, error) {
	if list := strings.Fields(os.Getenv("DEBIAN_MIRROR")); len(list) > 0 {
		return list, nil
	}
	files, _ := filepath.Glob("/etc/apt/sources.list.d/*") // the pattern is correct
	var list []string
	for _, file := range append([]string{"/etc/apt/sources.list"}, files...) {
		text, err := os.ReadFile(file)
		switch {
		case err != nil:
			continue
		case strings.HasSuffix(file, ".list"):
			list = append(list, oneLine(string(text))...)
		case strings.HasSuffix(file, ".sources"):
			list = append(list, stanzas(string(text))...)
		}
	}
	list = slices.DeleteFunc(list, func(uri string) bool { return !strings.HasPrefix(uri, "http") })
	slices.Sort(list)
	list = slices.Compact(list)
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: apt's sources name no mirror; set DEBIAN_MIRROR to the address of a Debian mirror", target.ErrMissing)
	}
	return list, nil
}

// oneLine returns the addresses in a sources.list: deb [OPTIONS] URI SUITE COMPONENTS.
func oneLine(text string) (list []string) {
	for line := range strings.Lines(text) {
		line, isDeb := strings.CutPrefix(strings.TrimSpace(line), "deb ")
		if _, after, found := strings.Cut(line, "]"); found {
			line = after
		}
		if w := strings.Fields(line); isDeb && len(w) >= 2 && !strings.Contains(w[1], "security") {
			list = append(list, w[0])
		}
	}
	return list
}

// stanzas returns the addresses in a deb822 file.
func stanzas(text string) (list []string) {
	for _, stanza := range strings.Split(text, "\n\n") {
		fields := map[string]string{}
		name := ""
		lines := bufio.NewScanner(strings.NewReader(stanza))
		for lines.Scan() {
			line := lines.Text()
			if strings.HasPrefix(line, "#") {
				continue
			}
			if key, value, found := strings.Cut(line, ":"); found && !strings.HasPrefix(line, " ") {
				name, line = strings.ToLower(key), value
			}
			fields[name] += " " + line
		}
		if !strings.Contains(fields["suites"], "security") && strings.TrimSpace(fields["enabled"]) != "no" {
			list = append(list, strings.Fields(fields["uris"])...)
		}
	}
	return list
}
