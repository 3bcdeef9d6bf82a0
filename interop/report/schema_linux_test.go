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

	"github.com/scm-rights/scm/interop/scenario"
)

// object is what schema.json tells of one.
type object struct {
	Required   []string `json:"required"`
	Properties map[string]struct {
		Const any      `json:"const"`
		Enum  []string `json:"enum"`
	} `json:"properties"`
}

// keys are the names that a struct has in JSON, and those that are always there.
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
		case options != "omitempty":
			always = append(always, tag)
		}
		all = append(all, tag)
	}
	return slices.Sorted(slices.Values(all)), slices.Sorted(slices.Values(always))
}

// schema.json tells of all that is in a report, and of nothing else.
func TestSchema(t *testing.T) {
	text, err := os.ReadFile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		object
		Defs map[string]object `json:"$defs"`
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	schema.Defs["report"] = schema.object
	types := map[string]any{"report": Report{}, "system": System{}, "totals": Totals{}, "peer": Peer{}, "case": scenario.Result{}, "finding": scenario.Finding{}, "trace": scenario.Trace{}}
	for name, def := range schema.Defs {
		if types[name] == nil {
			t.Errorf("%s is no part of a report", name)
			continue
		}
		told := slices.Sorted(maps.Keys(def.Properties))
		slices.Sort(def.Required)
		all, always := keys(reflect.TypeOf(types[name]))
		if !slices.Equal(told, all) || !slices.Equal(def.Required, always) {
			t.Errorf("%s: told are\n%v, of them always %v\nthere are\n%v, of them always %v", name, told, def.Required, all, always)
		}
	}
	if got := fmt.Sprint(schema.Properties["schema"].Const); got != fmt.Sprint(Schema) {
		t.Errorf("it is schema %s, and not %d", got, Schema)
	}
	var checks []string
	for _, c := range scenario.Checks {
		checks = append(checks, string(c))
	}
	if got := schema.Defs["finding"].Properties["check"].Enum; !slices.Equal(got, checks) {
		t.Errorf("checks are %v, and not %v", checks, got)
	}
	if got := schema.Defs["system"].Properties["kind"].Enum; !slices.Equal(got, scenario.KernelKinds) {
		t.Errorf("kinds of kernels are %v, and not %v", scenario.KernelKinds, got)
	}
	if got := schema.Defs["case"].Properties["verdict"].Enum; strings.Join(got, ", ") != "pass, fail, expected, fixed, flaky, unsupported, not run" {
		t.Errorf("verdicts are %v", got)
	}
}
