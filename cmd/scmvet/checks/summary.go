package checks

import (
	"go/types"
	"reflect"
	"strings"
)

// What a variable, a field or a result holds: control data, the messages in it, or descriptors.
const (
	control     = "control data"
	messages    = "unix.ParseSocketControlMessage"
	descriptors = "unix.ParseUnixRights"
)

// A summary says what a function does with descriptors. It is a fact, so it is known in packages that import the
// function.
type summary struct {
	Results int      // how many results it has
	Kinds   []string // what each of them holds
	Buffer  int      // the parameter into which it receives control data, counted from 1, or 0
	Length  int      // the result that is the length of the control data, likewise
	Flags   int      // the result that has the flags, likewise, or -1 if it checks them
	Parses  bool     // it takes the descriptors from control data in a parameter
	Needs   bool     // it does not just close them
	Exact   bool     // it compares the count of descriptors with a number
	Borrows []bool   // for each parameter: it neither closes it nor passes it on
}

func (*summary) AFact() {}

// summary returns what is known about a function.
func (p *pass) summary(fn types.Object) *summary {
	s := &summary{}
	switch name := id(fn); {
	case fn == nil:
	case name == "unix.Recvmsg" || name == "unix.RecvmsgBuffers":
		return &summary{Results: 5, Buffer: 3, Length: 2, Flags: 3}
	case strings.HasSuffix(name, ".ReadMsgUnix") && fn.Type().(*types.Signature).Results().Len() == 5:
		return &summary{Results: 5, Buffer: 2, Length: 2, Flags: 3}
	case name == messages || name == descriptors:
		return &summary{Results: 2, Kinds: []string{name, ""}, Parses: name == descriptors, Needs: true}
	case p.summaries[fn] != nil:
		return p.summaries[fn]
	case fn.Pkg() != nil && fn.Pkg() != p.Pkg && !strings.HasPrefix(name, "unix."):
		p.ImportObjectFact(fn, s)
	}
	return s
}

// summarize follows values through the package until it finds nothing new, and exports what it knows about each
// function.
func (p *pass) summarize() {
	for changed, round := true, 0; changed && round < 20; round++ {
		changed = false
		for _, n := range p.calls {
			if n.describe(); n.oob != nil {
				changed = note(p.holds, p.object(n.oob), control) || changed
				changed = p.own(p.object(n.oob), control) || changed
			}
		}
		for _, a := range p.flows {
			if !a.isField {
				changed = note(p.holds, a.to, p.part(p.holds, a.from, a.result)) || changed
			}
			if owned := p.part(p.owns, a.from, a.result); owned != "" && (!a.isField || p.isFresh(a.to)) {
				changed = p.own(a.to, owned) || changed
			}
		}
		for _, decl := range p.functions {
			fn := p.TypesInfo.Defs[decl.Name]
			if fn == nil {
				continue
			}
			s := p.summaryOf(fn, decl)
			changed = changed || !reflect.DeepEqual(s, p.summaries[fn])
			p.summaries[fn] = s
		}
	}
	for fn, s := range p.summaries {
		if !reflect.DeepEqual(*s, summary{Results: s.Results}) {
			p.ExportObjectFact(fn, s)
		}
	}
}

// own notes what a variable owns. A field or a parameter does not: others have the descriptors too.
func (p *pass) own(obj types.Object, value string) bool {
	v, ok := obj.(*types.Var)
	return ok && !v.IsField() && !p.params[obj] && note(p.owns, obj, value)
}

// note notes what a variable holds, and reports whether that is new. A variable of some types only says something about
// it.
func note(of map[types.Object]string, obj types.Object, value string) bool {
	if obj == nil || value == "" || of[obj] != "" || !canHold(obj.Type()) {
		return false
	}
	of[obj] = value
	return true
}

func canHold(t types.Type) bool {
	if t == nil {
		return false
	}
	switch t := t.Underlying().(type) {
	case *types.Basic:
		return t.Info()&types.IsInteger != 0 && t.Kind() != types.Uint8
	case *types.Interface, *types.Signature:
		return false
	}
	return true
}
