//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/interop/catalogue"
	"github.com/scm-rights/scm/interop/scenario"
)

// readmeLines is the maximum number of lines of README.md.
const readmeLines = 150

// README.md counts what the lists contain. The libraries are the rows of the comparison without those of scm and of
// peers that are not libraries.
func TestCounts(t *testing.T) {
	const root = "../../"
	read := func(name string) string {
		text, err := os.ReadFile(root + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	list, err := catalogue.Scenarios()
	if err != nil {
		t.Fatal(err)
	}
	peerScenarios := slices.DeleteFunc(slices.Clone(list), (*scenario.Scenario).Kernel)
	var libraries, faulty int
	spoken := map[string]bool{}
	for _, w := range rows {
		if strings.HasPrefix(w.Name, "scm") || notLibraries[w.Peers[0]] != "" {
			continue
		}
		libraries++
		spoken[w.Lang] = true
		if _, err := os.Stat(root + findingsDir + "/" + w.Peers[0] + ".md"); err == nil {
			faulty++
		}
	}
	if pages, _ := filepath.Glob(root + findingsDir + "/*.md"); len(pages) != faulty+1 || spoken[""] { // README.md is about all
		t.Errorf("%d libraries have a page of %d; languages: %v", faulty, len(pages), spoken)
	}
	var kernels []struct{ Name string }
	if err := json.Unmarshal([]byte(read("docs/kernels.json")), &kernels); err != nil {
		t.Fatal(err)
	}
	programs, _ := filepath.Glob(root + "docs/howto-*.md") // the pattern is valid
	words := map[int]string{7: "seven", 8: "eight", 9: "nine", 10: "ten"}
	_, originals, _ := strings.Cut(read("docs/identity.md"), " calls compared with ")
	originals, _, _ = strings.Cut(originals, ",")
	readme := read(readmeFile)
	for _, count := range []string{
		fmt.Sprintf("[%d scenarios](docs/catalogue.md)", len(peerScenarios)),
		fmt.Sprintf("[%d libraries in %d languages](docs/comparison.md)", libraries, len(spoken)),
		fmt.Sprintf("and %d for the kernel", len(list)-len(peerScenarios)),
		fmt.Sprintf("[%d kernels](docs/kernels.md)", len(kernels)),
		fmt.Sprintf("[found faults in %d of the libraries](docs/findings.md)", faulty),
		fmt.Sprintf("up to %d buffers and %d descriptors", scm.MaxBuffers, scm.MaxFDs),
		words[len(programs)] + " programs to copy",
		strings.Replace(originals, "6 ", "six ", 1),
	} {
		if !strings.Contains(readme, count) {
			t.Errorf("%s does not say %q", readmeFile, count)
		}
	}
	if lines := strings.Count(readme, "\n"); lines > readmeLines {
		t.Errorf("%s has %d lines, and may have %d", readmeFile, lines, readmeLines)
	}
}
