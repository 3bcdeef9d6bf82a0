package scm

import (
	"fmt"
	"slices"
	"strings"

	"github.com/scm-rights/scm/internal/sys"
)

// A kindRule lists the properties that files of one kind can have, and therefore what an Expect of that Kind may
// ask for. Any file that is not opened with O_PATH can have status flags.
type kindRule struct {
	kind   Kind
	access []string // the access modes, as in sys.File
	socket bool     // whether Family, Type and Protocol apply
	seals  bool     // whether Seals apply
}

var anyAccess = []string{"read-only", "write-only", "read-write", "path"}

// kindRules holds the rules of all kinds except those that can have any access mode and nothing else:
// pipes, devices, and the anonymous files, whose access modes differ between kernels.
var kindRules = []kindRule{
	{kind: KindRegular, access: anyAccess, seals: true}, // every file of a tmpfs has seals
	{kind: KindDirectory, access: []string{"read-only", "path"}},
	{kind: KindSymlink, access: []string{sys.SymlinkAccess}},
	{kind: KindSocket, access: []string{"read-write", "path"}, socket: true},
	// with O_PATH it is regular
	{kind: KindMemfd, access: []string{"read-only", "write-only", "read-write"}, seals: true},
}

// rule returns the rule for e.Kind. If that is "", the other fields imply the kind.
func (e Expect) rule() kindRule {
	kind := e.kind()
	if kind == "" && e.Seals != 0 {
		kind = KindRegular // a memfd can have seals too, and its access modes are a subset
	}
	for _, rule := range kindRules {
		if rule.kind == kind {
			return rule
		}
	}
	return kindRule{kind: kind, access: anyAccess}
}

// check returns EINVAL if no descriptor can match e.
func (e Expect) check() error {
	if problem := e.problem(); problem != "" {
		return sys.Error("scm: Expect "+problem, sys.EINVAL)
	}
	return nil
}

// problem explains why no descriptor can match e. It returns "" if one can.
func (e Expect) problem() string {
	if e.Kind != "" && !sys.KnownKind(string(e.Kind)) {
		return fmt.Sprintf("has an unknown Kind, %q", e.Kind)
	}
	switch e.Access {
	case "", AccessRead, AccessWrite, AccessReadWrite, AccessReadOnly, AccessWriteOnly, AccessPath, AccessAny:
	default:
		return fmt.Sprintf("has an unknown Access, %q", e.Access)
	}
	rule := e.rule()
	kind := nameFile(rule.kind, 0, 0, 0)
	switch {
	case e.Max < 0:
		return fmt.Sprintf("has a negative Max, %d", e.Max)
	case e.Min > e.Max:
		return fmt.Sprintf("requires at least %d and at most %s", e.Min, descriptors(e.Max))
	case e.Family < 0 || e.Protocol < 0 || e.Flags < 0 || e.Seals < 0:
		return fmt.Sprintf("has a negative Family (%d), Protocol (%d), Flags (%d) or Seals (%d)", e.Family, e.Protocol, e.Flags, e.Seals)
	case e.Type&^0xf != 0:
		return fmt.Sprintf("has a Type with flags, %#x", e.Type)
	case sys.StatusFlags(e.Flags) != e.Flags:
		return fmt.Sprintf("has Flags that are not status flags, %#x", e.Flags&^sys.StatusFlags(e.Flags))
	case e.wantsSocket() && !rule.socket:
		return "is impossible: " + kind + " has no Family, Type or Protocol"
	case e.Seals != 0 && !rule.seals:
		return "is impossible: " + kind + " has no seals"
	case !sys.SocketExists(e.Family, e.Type, e.Protocol):
		return "is impossible: there cannot be " + e.file()
	case e.Access == AccessPath && (e.wantsSocket() || e.Flags != 0 || e.Seals != 0):
		return "is impossible: a descriptor opened with O_PATH has no Family, Type, Protocol, Flags or Seals"
	case e.Flags != 0 && slices.Equal(rule.access, []string{"path"}):
		return "is impossible: " + kind + " has no status flags"
	case !slices.ContainsFunc(rule.access, e.allows):
		return fmt.Sprintf(`is impossible: Access is %q, but %s can only have "%s"`, e.Access, e.file(), strings.Join(rule.access, `" or "`))
	}
	return ""
}
