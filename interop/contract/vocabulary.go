package contract

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Form describes the syntax of a command. A command that takes one of several alternative
// fields has a form for each alternative.
type Form struct {
	Usage string // the command and its fields; those in brackets may be left out
	Gives string // the fields of an ok answer to it, written the same way
}

// Definitions describe the commands that Extend adds to a Vocabulary.
type Definitions struct {
	Forms []Form

	// Kinds maps fields to the kinds of their values. A key names one or more fields, separated
	// by spaces. It names a field as FIELD, or as COMMAND.FIELD if the kind applies to one
	// command only.
	Kinds map[string]Kind

	// Groups maps the name of a group, such as NAME, to the fields of the group. If a form contains
	// the name of a group, a command of that form contains one or more fields from the group. These
	// fields are all of one kind, which Kinds contains under the name of the group.
	Groups map[string][]string

	// FDFields lists the fields of an answer that contain new descriptors.
	FDFields []string
}

// A Vocabulary is a set of commands with their fields and answers. The zero Vocabulary is empty.
type Vocabulary struct {
	commands map[string]*definition
	fdFields []string
}

// A definition describes a command.
type definition struct {
	usages []string
	forms  []fieldSet
	answer fieldSet
	kinds  map[string]Kind
	groups map[string]string // the name of the group of a field
}

// Extend returns a vocabulary with the commands of v and those of d. It panics if d defines a
// command that v already contains, or a field without a kind.
func (v *Vocabulary) Extend(d Definitions) *Vocabulary {
	extended := &Vocabulary{map[string]*definition{}, slices.Concat(v.fdFields, d.FDFields)}
	kinds := map[string]Kind{}
	for keys, kind := range d.Kinds {
		for key := range strings.FieldsSeq(keys) {
			kinds[key] = kind
		}
	}
	for _, form := range d.Forms {
		name, fields, _ := strings.Cut(form.Usage, " ")
		if v.Has(name) {
			panic("contract: the command " + name + " is defined twice")
		}
		def := extended.commands[name]
		if def == nil {
			def = &definition{kinds: map[string]Kind{}, groups: map[string]string{}}
			extended.commands[name] = def
		}
		set, gives := parseFields(fields), parseFields(form.Gives)
		def.usages = append(def.usages, form.Usage)
		def.forms = append(def.forms, set)
		def.answer.must = append(def.answer.must, gives.must...)
		def.answer.may = append(def.answer.may, gives.may...)
		for _, field := range slices.Concat(set.must, set.may) {
			kind, ok := kinds[name+"."+field]
			if !ok {
				kind, ok = kinds[field]
			}
			if !ok {
				panic("contract: the field " + field + " of the command " + name + " has no kind")
			}
			def.kinds[field] = kind
			for _, member := range d.Groups[field] {
				def.groups[member] = field
			}
		}
	}
	maps.Copy(extended.commands, v.commands)
	return extended
}

// Has reports whether v contains a command with the given name.
func (v *Vocabulary) Has(command string) bool { return v.commands[command] != nil }

// FDFields returns the fields of answers that contain new descriptors, in the order in which
// they were defined.
func (v *Vocabulary) FDFields() []string { return slices.Clone(v.fdFields) }

// A fieldSet lists the required and the optional fields of a line.
type fieldSet struct {
	must, may []string
}

// parseFields parses the fields of a Form.
func parseFields(text string) (set fieldSet) {
	for field := range strings.FieldsSeq(text) {
		key, _, _ := strings.Cut(strings.Trim(field, "[]"), "=")
		if field[0] == '[' {
			set.may = append(set.may, key)
		} else {
			set.must = append(set.must, key)
		}
	}
	return set
}

// allows reports whether a line can have these fields and no others.
func (s fieldSet) allows(fields []string) bool {
	missing := func(key string) bool { return !slices.Contains(fields, key) }
	unknown := func(key string) bool { return !slices.Contains(s.must, key) && !slices.Contains(s.may, key) }
	return !slices.ContainsFunc(s.must, missing) && !slices.ContainsFunc(fields, unknown)
}

// A Command is a command whose fields have been parsed.
type Command struct {
	Verb   string
	Values map[string]any // by field; the type of a value depends on its Kind
}

// Get returns the value of a field, or absent if the command does not have the field.
func Get[T any](c Command, key string, absent T) T {
	if value, ok := c.Values[key].(T); ok {
		return value
	}
	return absent
}

// ParseCommand parses a command of the vocabulary. Even if it returns an error, it sets Verb if the
// vocabulary contains the command.
func ParseCommand(v *Vocabulary, text string) (c Command, err error) {
	l, err := ParseLine(text)
	def, ok := v.commands[l.Verb]
	if !ok {
		return c, fmt.Errorf("unknown command %s", Brief(l.Verb))
	}
	c = Command{l.Verb, map[string]any{}}
	if err != nil {
		return c, err
	}
	keys := slices.Sorted(maps.Keys(l.Fields))
	var fields []string // the same, with the name of a group for each of its fields
	for _, key := range keys {
		if group, ok := def.groups[key]; ok {
			key = group
		}
		fields = append(fields, key)
	}
	if len(l.Words) > 0 || !slices.ContainsFunc(def.forms, func(s fieldSet) bool { return s.allows(fields) }) {
		return c, fmt.Errorf("usage: %s", strings.Join(def.usages, ", or "))
	}
	for i, key := range keys {
		if c.Values[key], ok = def.kinds[fields[i]](l.Fields[key]); !ok {
			return c, fmt.Errorf("%s: invalid value for %s=", l.Verb, key)
		}
	}
	return c, nil
}
