package peers

import (
	"bytes"
	"embed"
	"fmt"
	"path"
	"regexp"
	"strings"
)

//go:embed c/peer.c go/peer/peer.go java/Peer.java python/peer.py ruby/peer.rb rust/src/peer.rs skeleton
var skeletonFiles embed.FS

// A Skeleton is the source code of a peer that does not call a library yet. The comment at
// the top of the code contains the commands that build and run the peer.
type Skeleton struct {
	Language string
	File     string   // the file name that the commands use
	Text     []byte   // the source
	Build    []string // shell commands; empty if the language needs no build
	Run      string   // shell command
}

// Skeletons returns one skeleton per language.
func Skeletons() (list []Skeleton) {
	for _, s := range []struct{ language, file string }{
		{"c", "c/peer.c"},
		{"go", "go/peer/peer.go"},
		{"rust", "rust/src/peer.rs"},
		{"python", "python/peer.py"},
		{"javascript", "skeleton/peer.js"},
		{"java", "java/Peer.java"},
		{"ruby", "ruby/peer.rb"},
	} {
		text, err := skeletonFiles.ReadFile(s.file)
		if err != nil {
			panic(err) // the file is embedded
		}
		if s.language == "go" {
			// Our own peers compile the file as a package, but a user compiles it as a program.
			text = bytes.TrimPrefix(text, []byte("//go:build linux\n\n"))
			text = bytes.Replace(text, []byte("\npackage peer\n"), []byte("\npackage main\n"), 1)
		}
		commands := headerCommands(text)
		last := len(commands) - 1
		list = append(list, Skeleton{s.language, path.Base(s.file), text, commands[:last:last], commands[last]})
	}
	return list
}

var (
	header  = regexp.MustCompile(`^(?s:/\*.*?\*/|""".*?""")|^(//.*\n|#.*\n)+`)
	command = regexp.MustCompile(`(?m)^(?:(?://!?|#| \*)(?:\t|     )|    )(\S.*)$`)
)

// headerCommands returns the indented lines of the comment at the top of a program.
func headerCommands(text []byte) (list []string) {
	for _, m := range command.FindAllSubmatch(header.Find(text), -1) {
		list = append(list, string(m[1]))
	}
	return list
}

// functionForm matches the names of the two functions in which a skeleton calls the library.
var functionForm = regexp.MustCompile(`\blibrary_?(?:[sS]end|[rR]ecv)\b`)

// Functions returns the names of the functions in which the skeleton calls the library for the given
// commands, "send" and "recv".
func (s Skeleton) Functions(commands ...string) (names []string) {
	for _, command := range commands {
		for _, name := range functionForm.FindAllString(string(s.Text), -1) {
			if strings.HasSuffix(strings.ToLower(name), command) {
				names = append(names, name)
				break
			}
		}
	}
	return names
}

// RustTest returns tests/interop.rs, which runs the scenarios of these groups in a crate's own tests.
func RustTest(groups []string) []byte {
	text, err := skeletonFiles.ReadFile("skeleton/interop.rs")
	if err != nil {
		panic(err) // the file is embedded
	}
	return bytes.Replace(text, []byte("GROUPS"), []byte(strings.Join(groups, " ")), 1)
}

// FindSkeleton returns the skeleton for a language.
func FindSkeleton(language string) (Skeleton, error) {
	for _, s := range Skeletons() {
		if s.Language == language {
			return s, nil
		}
	}
	return Skeleton{}, fmt.Errorf("no skeleton for %q; the languages are %s", language, strings.Join(SkeletonLanguages(), ", "))
}

// SkeletonLanguages returns the languages of all skeletons.
func SkeletonLanguages() (list []string) {
	for _, s := range Skeletons() {
		list = append(list, s.Language)
	}
	return list
}

// SkeletonUses returns one line per language. Each line contains the name of the file and the
// commands that build and run the peer.
func SkeletonUses() (text string) {
	for _, s := range Skeletons() {
		commands := append(s.Build, s.Run)
		text += fmt.Sprintf("  %-11s %-10s %s\n", s.Language, s.File, strings.Join(commands, " && "))
	}
	return text
}
