// Package expected reads lists of expected failures, finds the lines that apply to a case, and updates the lists. It
// knows the names of cases and peers, and versions, but no scenario.
package expected

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/interop/display"
)

// Names of two peers that stand for the kernel. Their version is the release of Linux.
const (
	Runner = "runner" // in a peer scenario
	Kernel = "kernel" // in a kernel scenario
)

// Roles of a peer in a line.
const (
	Sends    = ":sends"    // as A
	Receives = ":receives" // as B
)

// Cloexec is the check that a peer cannot fail if it receives no descriptor.
const Cloexec = "cloexec"

// A Line says that a peer fails a check in the cases that the pattern selects, and gives the reason.
type Line struct {
	Pattern  Pattern // of GROUP/ID/TYPE
	Check    string
	Peer     string
	Versions string // of the peer, as in "<8.4" or ">=8.1<8.4", or "" for any
	Role     string // of the peer, or "" for either
	Reason   string
	File     string // as Parse was given it
	Number   int
	Builtin  bool // the repository's own lists have the line
}

// Prefixes of a reason.
const (
	flakyMark      = "flaky:" // the failure may or may not occur
	unfinishedMark = "?"      // the reason is only a proposal; may follow flakyMark
)

// byteOrderMark is U+FEFF, with which some editors begin a file.
const byteOrderMark = "\ufeff"

// String returns FILE:LINE: SCENARIO CHECK@PEER, with the versions and the role, if any.
func (l Line) String() string { return l.Place() + ": " + l.selection() }

// Place returns FILE:LINE.
func (l Line) Place() string { return fmt.Sprintf("%s:%d", l.File, l.Number) }

// Key returns CHECK@PEER.
func (l Line) Key() string { return l.Check + "@" + l.Peer }

// Text returns the line as it is written in a list.
func (l Line) Text() string { return l.selection() + " " + l.Reason }

func (l Line) selection() string { return l.Pattern.text + " " + l.Key() + l.Versions + l.Role }

// Flaky reports whether the failure may or may not occur, so that neither is unexpected.
func (l Line) Flaky() bool { return strings.HasPrefix(l.Reason, flakyMark) }

// Noted reports whether a missing failure is only a note, because the line is about some releases of Linux, and a
// vendor may have backported a change.
func (l Line) Noted() bool { return l.Versions != "" && isKernel(l.Peer) }

func isKernel(peer string) bool { return peer == Runner || peer == Kernel }

// unfinished reports whether the reason is only a proposal.
func (l Line) unfinished() bool { return strings.HasPrefix(l.ownReason(), unfinishedMark) }

// ownReason returns the reason without the mark of a flaky failure.
func (l Line) ownReason() string { return strings.TrimSpace(strings.TrimPrefix(l.Reason, flakyMark)) }

// A Form says what the lines of a list are about.
type Form struct {
	First, Name string // what the pattern and the name after the check are called
	Checks      []string
	Roles       bool // a role may follow the name
	Validate    func(Line) error
}

// Parse reads a list. Each line has the form
//
//	FIRST CHECK@NAME[VERSIONS][:sends|:receives] REASON
//
// docs/testing-a-library.md describes it. In FIRST and in CHECK@NAME, {a,b} means either a or b, and Parse returns a
// Line for each CHECK@NAME. Errors and lines name the file, which Parse does not open.
func Parse(file string, text []byte, form Form) (list []Line, err error) {
	for i, l := range strings.Split(strings.TrimPrefix(string(text), byteOrderMark), "\n") {
		at := Line{File: file, Number: i + 1}
		if strings.Contains(strings.TrimSuffix(l, "\r"), "\r") {
			return nil, fmt.Errorf("%s: a carriage return is within the line: end each line with a newline", at.Place())
		}
		words := strings.Fields(l)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		more, err := form.parse(at, words)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at.Place(), err)
		}
		list = append(list, more...)
	}
	return list, nil
}

// keyForm matches CHECK@PEER with an optional version range and role.
var keyForm = regexp.MustCompile(`^([a-z]+)@([^<>=:/]+)((?:>=[0-9]+(?:\.[0-9]+)*)?(?:<[0-9]+(?:\.[0-9]+)*)?)(:sends|:receives)?$`)

// parse returns a Line for each alternative in the braces of CHECK@NAME.
func (form Form) parse(l Line, words []string) (list []Line, err error) {
	if len(words) < 3 {
		return nil, fmt.Errorf("a line is %s CHECK@%s REASON, and the reason is required", form.First, form.Name)
	}
	if l.Pattern, err = ParsePattern(words[0]); err != nil {
		return nil, err
	}
	l.Reason = strings.Join(words[2:], " ")
	if strings.ContainsAny(l.Reason[:1], "<>=:") { // or the line would apply to every version and both roles
		return nil, form.keyError(words[1] + " " + words[2])
	}
	if l.ownReason() == "" {
		return nil, fmt.Errorf("the reason after %q is missing", flakyMark)
	}
	if display.Line(l.Reason) != l.Reason {
		return nil, fmt.Errorf("not text: %q", l.Reason)
	}
	keys, err := expandBraces(words[1])
	if err != nil {
		return nil, fmt.Errorf("%q: %w", words[1], err)
	}
	for _, key := range keys {
		m := keyForm.FindStringSubmatch(key)
		if m == nil || !display.IsName(m[2]) || !slices.Contains(form.Checks, m[1]) || !form.Roles && m[4] != "" {
			return nil, form.keyError(key)
		}
		l.Check, l.Peer, l.Versions, l.Role = m[1], m[2], m[3], m[4]
		err := l.validateVersions(form.Roles && isKernel(l.Peer))
		if err == nil && form.Validate != nil {
			err = form.Validate(l)
		}
		if err != nil {
			return nil, err
		}
		list = append(list, l)
	}
	return list, nil
}

func (form Form) keyError(key string) error {
	roles := " or both"
	if form.Roles {
		roles = " or both, then :sends or :receives"
	}
	return fmt.Errorf("%q is not CHECK@%s, optionally followed by <VERSION, >=VERSION%s; checks are %v", key, form.Name, roles, form.Checks)
}

// ValidateReasons returns an error that names the line of every unfinished reason.
func ValidateReasons(list []Line) error {
	var errs []error
	last := "" // several expectations can be in the same line
	for _, l := range list {
		if l.unfinished() && l.Place() != last {
			last = l.Place()
			errs = append(errs, fmt.Errorf("%s: unfinished reason: %s", last, l.Reason))
		}
	}
	if len(errs) > 0 {
		errs = append(errs, fmt.Errorf("complete the reasons of these lines, and remove the %q", unfinishedMark))
	}
	return errors.Join(errs...)
}

// MarkBuiltin sets Builtin in the lines that are also in the repository's own lists, which may have been read from a
// file with another name.
func MarkBuiltin(list, own []Line) {
	lines := map[string]bool{}
	for _, l := range own {
		lines[l.Text()] = true
	}
	for i, l := range list {
		list[i].Builtin = lines[l.Text()]
	}
}

var (
	versionBound = regexp.MustCompile(`(>=|<)([0-9.]+)`)
	versionForm  = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*`)
	releasesForm = regexp.MustCompile(`^(>=(0|[1-9][0-9]*)\.(0|[1-9][0-9]*))?(<(0|[1-9][0-9]*)\.(0|[1-9][0-9]*))?$`)
)

// validateVersions checks the range. Bounds that are releases of Linux have two numbers, because the kernels of most
// distributions keep the third one at 0.
func (l Line) validateVersions(areReleases bool) error {
	bounds := versionBound.FindAllStringSubmatch(l.Versions, -1)
	switch {
	case areReleases && !releasesForm.MatchString(l.Versions):
		return fmt.Errorf("%s%s: a release of Linux has exactly two numbers, as in %s<5.15, %s>=6.16 or %s>=6.2<6.7",
			l.Key(), l.Versions, l.Peer, l.Peer, l.Peer)
	case len(bounds) == 2 && !InVersions(bounds[1][0], bounds[0][2]):
		return fmt.Errorf("%s%s: no version is in this range; the first bound must be lower, as in >=6.2<6.7", l.Key(), l.Versions)
	}
	return nil
}

// InVersions reports whether a version is in a range such as ">=8.1<8.4". The range "" contains all versions. Any other
// range contains only versions that begin with a digit.
func InVersions(bounds, version string) bool {
	dotted := versionForm.FindString(version)
	for _, m := range versionBound.FindAllStringSubmatch(bounds, -1) {
		less := slices.Compare(versionParts(dotted), versionParts(m[2])) < 0
		if dotted == "" || less != (m[1] == "<") {
			return false
		}
	}
	return true
}

// versionParts returns the integers of a dotted version, padded with zeros: 8.10 is later than 8.4, and 8.4 is 8.4.0.
func versionParts(version string) []int {
	list := make([]int, 16)
	for i, part := range strings.SplitN(version, ".", len(list)) {
		list[i], _ = strconv.Atoi(part)
	}
	return list
}

// Kinds of kernels.
const Linux, GVisor = "linux", "gvisor"

// Kinds lists the kinds of kernels.
var Kinds = []string{Linux, GVisor}

// A System is the kernel of a run.
type System struct {
	Kind    string // one of Kinds
	Release string // as in uname -r, for example "6.1.0-37-amd64", or "" if unknown
}

// Version returns the version of a peer, which reports the given one. For Runner and Kernel, that is the release of
// Linux. gVisor has none, because it says 4.4.0 whatever it can do.
func (s System) Version(peer, reported string) string {
	switch {
	case !isKernel(peer):
		return reported
	case cmp.Or(s.Kind, Linux) != Linux:
		return ""
	}
	return s.Release
}
