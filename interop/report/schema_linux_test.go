package report

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/expected"
	"github.com/scm-rights/scm/interop/scenario"
)

// object is the description of an object in schema.json.
type object struct {
	Required   []string `json:"required"`
	Properties map[string]struct {
		Const any      `json:"const"`
		Enum  []string `json:"enum"`
	} `json:"properties"`
}

// keys returns the JSON keys of a struct, and those that are always present.
func keys(t reflect.Type) (all, always []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous:
			more, must := keys(f.Type)
			all, always = append(all, more...), append(always, must...)
			continue
		case !f.IsExported() || tag == "-":
			continue
		case options != "omitempty" && options != "omitzero":
			always = append(always, tag)
		}
		all = append(all, tag)
	}
	return slices.Sorted(slices.Values(all)), slices.Sorted(slices.Values(always))
}

// schema.json describes every key of a report, and no others.
func TestSchema(t *testing.T) {
	text, err := os.ReadFile("schema.json")
	fdtest.Must(t, err)
	var schema struct {
		object
		Defs map[string]object `json:"$defs"`
	}
	fdtest.Must(t, json.Unmarshal(text, &schema))
	schema.Defs["report"] = schema.object
	types := map[string]any{"report": Report{}, "system": System{}, "totals": Totals{}, "asked": scenario.Asked{}, "not_asked": scenario.NotAsked{}, "peer": Peer{}, "case": scenario.Result{}, "finding": scenario.Finding{}, "trace": scenario.Trace{}}
	for name, def := range schema.Defs {
		if types[name] == nil {
			t.Errorf("%s is not part of a report", name)
			continue
		}
		described := slices.Sorted(maps.Keys(def.Properties))
		slices.Sort(def.Required)
		all, always := keys(reflect.TypeOf(types[name]))
		if !slices.Equal(described, all) || !slices.Equal(def.Required, always) {
			t.Errorf("%s: schema.json has the keys\n%v, required %v\nthe type has\n%v, always %v", name, described, def.Required, all, always)
		}
	}
	if got := fmt.Sprint(schema.Properties["schema"].Const); got != fmt.Sprint(Schema) {
		t.Errorf("schema.json is for schema %s, want %d", got, Schema)
	}
	var checks []string
	for _, c := range scenario.Checks {
		checks = append(checks, string(c))
	}
	if got := schema.Defs["finding"].Properties["check"].Enum; !slices.Equal(got, checks) {
		t.Errorf("checks are %v, want %v", got, checks)
	}
	if got := schema.Defs["system"].Properties["kind"].Enum; !slices.Equal(got, expected.Kinds) {
		t.Errorf("kinds of kernel are %v, want %v", got, expected.Kinds)
	}
	if got := schema.Defs["case"].Properties["verdict"].Enum; strings.Join(got, ", ") != "pass, fail, expected, fixed, flaky, unsupported, not run" {
		t.Errorf("verdicts are %v", got)
	}
}
