package peers

import (
	_ "embed"
	"encoding/json"
	"strings"
)

//go:embed registry.json
var registryJSON []byte

// Contract is README.md, which says how a peer is written.
//
//go:embed README.md
var Contract []byte

// A registry says which peers there are and how they are built.
type registry struct {
	Builds  []recipe            `json:"builds"`
	Peers   []source            `json:"peers"`
	Modules map[string][]string `json:"modules"` // by tool, the arguments with which it succeeds if it has {module}

	// Itself is by tool, the arguments with which it prints its own path: a shim of pyenv or rbenv takes
	// ten times as long to start, at each start of a peer.
	Itself map[string][]string `json:"itself"`
}

// A recipe is one run of a build tool, from which one or more peers come.
// In Run, and in the commands of peers, {root} and {out} stand for the folders,
// and a tool of Needs in braces for what runs it: {cc}, {python3}.
type recipe struct {
	Name  string   `json:"name"`
	Lang  string   `json:"lang"`
	Setup string   `json:"setup"` // the group of tools/setup that installs what is in Needs, beyond go
	Needs []string `json:"needs"` // tools, each with the oldest version that will do: "cargo 1.85"; modules: "perl:IO::FDPass"
	Env   []string `json:"env"`
	Run   []string `json:"run"` // nothing if there is nothing to build
}

// A source is a peer that can be built.
type source struct {
	Name    string   `json:"name"`
	Build   string   `json:"build"`
	Command []string `json:"command"`
}

// embedded is the registry of this folder. peers_test.go holds that it is well formed.
func embedded() registry {
	var r registry
	if err := json.Unmarshal(registryJSON, &r); err != nil {
		panic("registry.json: " + err.Error())
	}
	return r
}

func (r registry) recipe(name string) recipe {
	for _, b := range r.Builds {
		if b.Name == name {
			return b
		}
	}
	return recipe{}
}

// source returns the peer of a name, without a build if there is none.
// sources returns the peer of that name, or the peers in that language. A name that is neither becomes a source of its own.
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

// A places maps the words in braces to what they stand for.
type places map[string]string

func (p places) expand(words []string) []string {
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
