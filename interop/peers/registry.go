package peers

import (
	_ "embed"
	"encoding/json"
	"strings"
)

//go:embed registry.json
var registryJSON []byte

// Contract is the text of README.md, which describes how to write a peer.
//
//go:embed README.md
var Contract []byte

// A registry lists the peers and describes how to build them. It is the content of registry.json.
type registry struct {
	Builds []recipe `json:"builds"`
	Peers  []source `json:"peers"`

	// Modules maps each tool to the arguments for checking that {module} is installed. With these
	// arguments, the tool fails if the module is missing.
	Modules map[string][]string `json:"modules"`

	// Itself maps a tool to the arguments that make it print the path of its own executable. Peers run this
	// executable instead of a pyenv or rbenv shim, which takes ten times as long to start.
	Itself map[string][]string `json:"itself"`
}

// A recipe describes one run of a build tool, which builds one or more peers. Run and the
// commands of the peers may contain words in braces. {root} is replaced with the path of the
// repository, {out} with the output directory, and a tool from Needs, such as {cc} or
// {python3}, with the command that runs the tool.
type recipe struct {
	Name  string   `json:"name"`
	Lang  string   `json:"lang"`
	Setup string   `json:"setup"` // the group of tools/setup that installs the tools in Needs other than go
	Needs []string `json:"needs"` // tools, optionally with the oldest version that works, "cargo 1.85"; or modules, "perl:IO::FDPass"
	Env   []string `json:"env"`
	Run   []string `json:"run"` // empty if there is nothing to build
}

// A source is the registry's description of a peer that can be built.
type source struct {
	Name    string   `json:"name"`
	Build   string   `json:"build"`
	Command []string `json:"command"`

	FewPairs bool `json:"few_pairs"` // as in Built
}

// embedded returns the registry of this directory. A test checks that it is well-formed.
func embedded() registry {
	var r registry
	if err := json.Unmarshal(registryJSON, &r); err != nil {
		panic("registry.json: " + err.Error())
	}
	return r
}

// recipe returns the recipe with this name, or an empty one if the registry does not contain it.
func (r registry) recipe(name string) recipe {
	for _, b := range r.Builds {
		if b.Name == name {
			return b
		}
	}
	return recipe{}
}

// sources returns the peer with this name, or the peers in the language with this name. If there is no such peer or
// language, it returns a source with an empty Build.
func (r registry) sources(name string) (list []source) {
	for _, s := range r.Peers {
		if s.Name == name || r.recipe(s.Build).Lang == name {
			list = append(list, s)
		}
	}
	if list == nil {
		list = []source{{Name: name}}
	}
	return list
}

// replacements maps the words in braces to their replacements.
type replacements map[string]string

func (p replacements) expand(words []string) []string {
	var pairs []string
	for name, value := range p {
		pairs = append(pairs, "{"+name+"}", value)
	}
	r := strings.NewReplacer(pairs...)
	expanded := make([]string, len(words))
	for i, w := range words {
		expanded[i] = r.Replace(w)
	}
	return expanded
}
