// Command version sets the version of the tree that will be tagged:
//
//	go run ./tools/version 0.1.0
//
// It changes SCM_VERSION in csrc/scm_rights.h, the versions on the pages, and the heading in CHANGELOG.md. In each
// record of sentences.txt, it replaces the sentence that is true before the first release ("- ") with the one that is
// true from then on ("+ "). Delete a record when its page no longer has the sentence. With a version such as 0.2.0-dev,
// it changes only SCM_VERSION, because the pages name the last release.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

const header, changelog = "csrc/scm_rights.h", "CHANGELOG.md"

var (
	inHeader = regexp.MustCompile(`(#define SCM_VERSION ")[^"]*`)
	// v0.0.0 is the version that go.mod names for a checkout.
	onPages = regexp.MustCompile(`(\bscm(?:_rights|vet)?(?:[-:]|@v)|/releases/download/v|name=csrc version=)(?:[1-9]\d*\.\d+\.\d+|0\.[1-9]\d*\.\d+|0\.0\.[1-9]\d*)`)
	version = regexp.MustCompile(`^\d+\.\d+\.\d+(-dev)?$`)
)

func main() {
	if len(os.Args) != 2 || !version.MatchString(os.Args[1]) {
		exit("usage: go run ./tools/version N.N.N[-dev]")
	}
	to, text := os.Args[1], map[string]string{}
	read(text, header)
	text[header] = inHeader.ReplaceAllString(text[header], "${1}"+to)
	if !strings.HasSuffix(to, "-dev") {
		release(text, to)
	}
	for name, content := range text {
		check(os.WriteFile(name, []byte(content), 0o644))
	}
}

// release changes the pages.
func release(text map[string]string, to string) {
	for _, pattern := range []string{"README.md", "docs/*.md", "docs/ci/*.yml", "interop/peers/README.md"} {
		names, err := filepath.Glob(pattern)
		check(err)
		for _, name := range names {
			read(text, name)
			text[name] = onPages.ReplaceAllString(text[name], "${1}"+to)
		}
	}
	read(text, changelog)
	const unreleased = "\n## [Unreleased]\n"
	if heading := "\n## [" + to + "]"; !strings.Contains(text[changelog], heading) {
		text[changelog] = strings.Replace(text[changelog], unreleased, unreleased+heading+" - "+time.Now().UTC().Format(time.DateOnly)+"\n", 1)
	}
	pairs, err := os.ReadFile("tools/version/sentences.txt")
	check(err)
	for _, pair := range strings.Split(strings.TrimSpace(string(pairs)), "\n\n") {
		name, lines, _ := strings.Cut(pair, "\n")
		var before, after []string
		for line := range strings.Lines(lines) {
			if line = strings.TrimSuffix(line, "\n"); strings.HasPrefix(line, "- ") {
				before = append(before, line[2:])
			} else {
				after = append(after, strings.TrimPrefix(line, "+ "))
			}
		}
		old, new := strings.Join(before, "\n"), strings.ReplaceAll(strings.Join(after, "\n"), "VERSION", to)
		if n := strings.Count(text[name], old); n > 1 || n == 0 && strings.Count(text[name], new) != 1 {
			exit(name + " has neither of these, or one of them twice:\n" + pair)
		}
		text[name] = strings.Replace(text[name], old, new, 1)
	}
}

// read adds a file to text.
func read(text map[string]string, name string) {
	content, err := os.ReadFile(name)
	check(err)
	text[name] = string(content)
}

func check(err error) {
	if err != nil {
		exit(err.Error())
	}
}

func exit(message string) {
	fmt.Fprintln(os.Stderr, "version: "+message)
	os.Exit(1)
}
