package scm

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/internal/sys"
)

// failure returns the error for a mismatch: Want is what e asks for, and Got is what was received instead.
func (e Expect) failure(found *mismatch) *ExpectError {
	failed := &ExpectError{Index: found.index, Want: e.wanted(), Err: found.err}
	switch found.field {
	case wrongSystem:
		failed.Got = "a system that cannot recognize one"
	case partOnly:
		failed.Want, failed.Got = "a whole message", e.part(found)
		if found.arrival.lostBytes() {
			failed.Err = io.ErrShortBuffer
		}
	case wrongNumber:
		failed.Want, failed.Got = e.count(), descriptors(found.arrival.nfd)
		if found.arrival.nfd < e.Min && found.arrival.lostFDs() {
			failed.Got += " in a truncated message"
		}
	case wrongFile:
		failed.Got = e.describe(found.file)
	case unknownFile:
		failed.Got = "one that could not be examined"
	}
	return failed
}

// part describes what was received of a truncated message.
func (e Expect) part(found *mismatch) string {
	a, got := found.arrival, "a truncated one with"
	if a.lostBytes() {
		got = fmt.Sprintf("only the first %d bytes", found.size)
		if !a.lostFDs() {
			return got
		}
		got += " and"
	}
	got += " " + descriptors(a.nfd)
	if found.capacity < e.Max && found.capacity == a.nfd {
		got += fmt.Sprintf("; Expect allows %s, but len(m.FDs) is %d", e.count(), found.capacity)
	}
	return got
}

// count describes in words how many descriptors e accepts.
func (e Expect) count() string {
	switch {
	case e.Min == e.Max && e.Max <= 0:
		return "no descriptor"
	case e.Min == e.Max:
		return "exactly " + descriptors(e.Min)
	case e.Min <= 0:
		return "at most " + descriptors(e.Max)
	case e.Max >= MaxFDs:
		return "at least " + descriptors(e.Min)
	}
	return fmt.Sprintf("at least %d and at most %s", e.Min, descriptors(e.Max))
}

func descriptors(n int) string {
	switch n {
	case 0:
		return "no descriptor"
	case 1:
		return "1 descriptor"
	}
	return fmt.Sprintf("%d descriptors", n)
}

// file describes the file that each descriptor must be, without its access mode and status flags.
func (e Expect) file() string {
	kind := e.kind()
	text := nameFile(kind, e.Family, e.Type, e.Protocol)
	if kind != KindSocket && e.wantsSocket() { // no file is both
		text += " that is " + nameFile(KindSocket, e.Family, e.Type, e.Protocol)
	}
	if e.Seals != 0 {
		text += " sealed against " + nameSeals(e.Seals)
	}
	return text
}

// wanted describes what each descriptor must be.
func (e Expect) wanted() string {
	kind, text := e.kind(), e.file()
	switch e.Access {
	case "", AccessAny:
	case AccessRead:
		text += " open for reading"
	case AccessWrite:
		text += " open for writing"
	default:
		text += " (" + nameAccess(kind, string(e.Access)) + ")"
	}
	if e.Flags != 0 {
		text += " with " + sys.FlagNames(e.Flags)
	}
	return text
}

// describe describes in words a file that does not match e.
func (e Expect) describe(f sys.File) string {
	text := nameFile(Kind(f.Kind), f.Family, f.Type, f.Protocol) + " (" + nameAccess(Kind(f.Kind), f.Access)
	if missing := e.Flags &^ f.Flags; missing != 0 && f.Access != "path" {
		text += ", without " + sys.FlagNames(missing)
	}
	text += ")"
	switch {
	case f.Kind == "memfd" && f.Seals == 0:
		text += " without seals"
	case f.Kind == "memfd":
		text += " sealed against " + nameSeals(f.Seals)
	}
	return text
}

// nameFile names a kind of file, with an article. For a socket it adds the properties that are not 0.
func nameFile(kind Kind, family, typ, protocol int) string {
	name := string(kind)
	switch kind {
	case "":
		name = "file"
	case "regular":
		name = "regular file"
	case "symlink":
		name = "symbolic link"
	case "socket":
		var words []string
		if family != 0 {
			words = append(words, sys.FamilyName(family))
		}
		if typ != 0 {
			words = append(words, sys.TypeName(typ))
		}
		name = strings.Join(append(words, "socket"), " ")
		if protocol != 0 {
			name += " of protocol " + nameProtocol(family, protocol)
		}
	}
	if strings.ContainsRune("aeioAEIO", rune(name[0])) {
		return "an " + name
	}
	return "a " + name
}

// nameProtocol returns a protocol's number, after its name if it has one.
func nameProtocol(family, protocol int) string {
	if name := sys.ProtocolName(family, protocol); name != "" {
		return fmt.Sprintf("%s (%d)", name, protocol)
	}
	return strconv.Itoa(protocol)
}

// nameAccess names an access mode. For a pipe it names the end.
func nameAccess(kind Kind, access string) string {
	switch {
	case access == "path":
		return "O_PATH"
	case kind == "pipe" && access == "read-only":
		return "read end"
	case kind == "pipe" && access == "write-only":
		return "write end"
	}
	return access
}

// nameSeals lists what a file is sealed against.
func nameSeals(seals int) string {
	// The bits are F_SEAL_SEAL, F_SEAL_SHRINK, … in order, from 1.
	var words []string
	for i, word := range []string{"more seals", "shrinking", "growing", "writing", "future writing", "changes of mode"} {
		if bit := 1 << i; seals&bit != 0 {
			words = append(words, word)
			seals &^= bit
		}
	}
	if seals != 0 {
		words = append(words, fmt.Sprintf("%#x", seals))
	}
	if len(words) == 1 {
		return words[0]
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}
