package scenario

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A heading in a file of expected failures can name these kernels.
const KernelLinux, KernelGVisor = "linux", "gvisor"

// KernelKinds lists the kinds of kernels.
var KernelKinds = []string{KernelLinux, KernelGVisor}

// A Kernel is the kernel of a run.
type Kernel struct {
	Kind    string // one of KernelKinds
	Release string // as in uname -r, for example "6.1.0-37-amd64", or "" if unknown
}

// A Heading in a file of expected failures limits the lines below it to some kernels. The zero value stands for every
// kernel.
type Heading struct {
	Kind     string // one of KernelKinds, or "" for any
	Releases string // of Linux, as in "<5.15", ">=6.16" or ">=6.2<6.7", or "" for any
}

// String returns the heading as a line of the file, or "" for every kernel.
func (h Heading) String() string {
	if h.Kind == "" {
		return ""
	}
	return "[" + h.Kind + h.Releases + "]"
}

// Includes reports whether the lines below the heading apply to the kernel. Only the first two
// numbers of a release count, because the kernels of most distributions keep the third one at 0.
// A release that does not begin with two numbers is in no range. Nor is any release of gVisor,
// which says 4.4.0 whatever gVisor can do.
func (h Heading) Includes(k Kernel) bool {
	if h.Kind == "" {
		return true
	}
	release := releaseForm.FindString(k.Release)
	return h.Kind == k.Kind && (h.Releases == "" || release != "" && inVersions(h.Releases, release))
}

var (
	headingForm  = regexp.MustCompile(`^\[([^][]*)\]$`)
	releasesForm = regexp.MustCompile(`^(?:>=((?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)))?(?:<((?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)))?$`)
	releaseForm  = regexp.MustCompile(`^[0-9]+\.[0-9]+`)
)

// headingExamples shows the forms of a release heading.
const headingExamples = "[linux<5.15], [linux>=6.16] or [linux>=6.2<6.7]"

// parseHeading parses the text between the brackets of a heading.
func parseHeading(text string) (h Heading, err error) {
	if slices.Contains(KernelKinds, text) {
		return Heading{Kind: text}, nil
	}
	kind := text
	if i := strings.IndexFunc(text, func(r rune) bool { return !('a' <= r && r <= 'z') }); i >= 0 {
		kind = text[:i]
	}
	releases := text[len(kind):]
	bounds := releasesForm.FindStringSubmatch(releases)
	switch {
	case !slices.Contains(KernelKinds, kind):
		return h, fmt.Errorf("unknown kernel %q; kernels are %v", text, KernelKinds)
	case kind != KernelLinux:
		return h, fmt.Errorf("heading [%s]: only releases of Linux can be told apart; write [%s]", text, kind)
	case bounds == nil:
		return h, fmt.Errorf("heading [%s]: write >= and the first release, < and the release after the last one, or both, each with exactly two numbers, as in %s",
			text, headingExamples)
	case bounds[1] != "" && bounds[2] != "" && !inVersions("<"+bounds[2], bounds[1]):
		return h, fmt.Errorf("heading [%s]: no release is in this range; the first bound must be lower, as in [linux>=6.2<6.7]", text)
	}
	return Heading{kind, releases}, nil
}

// validateVersions returns an error if the line limits itself to versions of the runner or the
// kernel. Both have the version of scm, so the line would not apply to the kernels that it seems to name.
func (e Expectation) validateVersions() error {
	if e.Version == "" || e.Peer != RunnerName && e.Peer != KernelName {
		return nil
	}
	heading := "such as " + headingExamples
	if h, err := parseHeading(KernelLinux + e.Version); err == nil {
		heading = h.String()
	}
	return fmt.Errorf("%s%s: %s takes no version; for some kernels only, put the line below a heading %s", e.key(), e.Version, e.Peer, heading)
}
