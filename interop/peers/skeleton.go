package peers

import (
	"bytes"
	"embed"
	"fmt"
	"strings"
)

//go:embed skeleton
var skeletons embed.FS

// A skeleton is a peer in a language, without a library.
var skeletonFiles = []struct{ Language, file, run string }{
	{"c", "peer.c", "cc -o peer peer.c, and ./peer"},
	{"go", "peer.go", "go build -o peer peer.go, and ./peer"},
	{"rust", "peer.rs", "rustc --edition 2021 -O peer.rs, and ./peer"},
	{"python", "peer.py", "python3 peer.py"},
	{"javascript", "peer.js", "node peer.js"},
	{"java", "Peer.java", "java --add-opens java.base/java.io=ALL-UNNAMED Peer.java"},
	{"ruby", "peer.rb", "ruby peer.rb"},
}

// Skeleton returns a peer without a library, as the text of a file.
func Skeleton(language string) (text []byte, err error) {
	for _, s := range skeletonFiles {
		if s.Language == language {
			text, err := skeletons.ReadFile("skeleton/" + s.file)
			return bytes.TrimPrefix(text, []byte("//go:build ignore\n\n")), err
		}
	}
	return nil, fmt.Errorf("there is no skeleton in %q, but in %s", language, strings.Join(SkeletonLanguages(), ", "))
}

// SkeletonLanguages returns the languages of Skeleton.
func SkeletonLanguages() (list []string) {
	for _, s := range skeletonFiles {
		list = append(list, s.Language)
	}
	return list
}

// SkeletonUses has a line for each language: the name of the file, and how it is run.
func SkeletonUses() (text string) {
	for _, s := range skeletonFiles {
		text += fmt.Sprintf("  %-11s %-10s %s\n", s.Language, s.file, s.run)
	}
	return text
}
