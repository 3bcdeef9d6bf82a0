package peers

import (
	"embed"
	"encoding/json"
	"path"
	"slices"
	"strings"
)

// Each folder that has a file language.json contains the peers in one language.
//
//go:embed */language.json
var records embed.FS

// order is the order of the languages in lists and in the matrix. Languages that it does not name follow.
var order = []string{"c", "rust", "go", "python", "java", "ruby", "perl", "ocaml", "erlang", "php"}

// Contract is the text of README.md, which describes how to write a peer.
//
//go:embed README.md
var Contract []byte

// A language is the record of a language: the content of its file language.json.
type language struct {
	lang string // the name of the folder

	Builds []recipe `json:"builds"`
	Peers  []source `json:"peers"`
	Rows   []Row    `json:"rows"`
	Lint   linters  `json:"lint"`

	// Packages maps the tools in Needs to the Debian packages that have them. Of "A|B", tools/setup installs the
	// first that is new enough. git, make, Go and the C compiler that cgo uses need none.
	Packages map[string]string `json:"packages"`

	// Modules maps each tool to the arguments for checking that {module} is installed. With these
	// arguments, the tool fails if the module is missing.
	Modules map[string][]string `json:"modules"`

	// Itself maps a tool to the arguments that make it print the path of its own executable. Peers run this
	// executable instead of a pyenv or rbenv shim, which takes ten times as long to start.
	Itself map[string][]string `json:"itself"`
}

// A registry lists the peers of all languages, and describes how to build them.
type registry struct {
	languages []language
	Builds    []recipe
	Peers     []source
}

// A recipe describes one run of a build tool, which builds one or more peers. Run and the
// commands of the peers may contain words in braces. {root} is replaced with the path of the
// repository, {out} with the output directory, {relative-out} with its path from the language's directory, because a
// target of make cannot contain a space, and a tool from Needs, such as {cc} or {python3}, with the command that runs
// the tool.
type recipe struct {
	Name  string   `json:"name"`
	Lang  string   `json:"-"`
	Setup string   `json:"setup"` // the group of tools/setup that installs the tools in Needs other than go
	Needs []string `json:"needs"` // tools, optionally with the oldest version that works, "cargo 1.85"; or modules, "perl:IO::FDPass"
	Env   []string `json:"env"`
	Run   []string `json:"run"` // empty if there is nothing to build

	// Archives lists the architectures for which make dist links the peers statically; "all" means every architecture.
	Archives []string `json:"archives"`
}

// A source is the registry's description of a peer that can be built.
type source struct {
	Name    string   `json:"name"`
	Build   string   `json:"build"`
	Command []string `json:"command"`

	FewPairs  bool   `json:"few_pairs"`  // as in Built
	NoRow     string `json:"no_row"`     // why no Row has the peer
	NotSocket string `json:"not_socket"` // the answer to "send payload=00 fds=-" on a descriptor that is not a socket

	// Breakable marks the peer of the language whose library a test breaks. If no peer has it, it is the first.
	// The peer must call libc's recvmsg, except in Go, and docs/comparison.md must say that its library has no
	// leaks, so that the leak changes that row. PHP has one peer, whose library leaks anyway, and the leak only
	// turns its column of the matrix red.
	Breakable bool `json:"breakable"`
}

// A Row describes a library interface in docs/comparison.md, and lists the peers that test it. A cell is
// "yes" only if all of these peers pass.
type Row struct {
	Lang  string          `json:"-"`
	Name  string          `json:"name"`
	Peers []string        `json:"peers"`
	Words map[string]Word `json:"words"` // replaces the text of some cells, by "COLUMN: TEXT"
	Note  string          `json:"note"`  // what a user of the library has to do, for docs/comparison.md
}

// A Word replaces the text that the verdicts give a cell, and says why.
type Word struct {
	Text string `json:"text"`
	Why  string `json:"why"`
}

// readRecords returns the records of all languages, in their order. A test checks that they are well-formed.
func readRecords() (list []language) {
	files, err := records.ReadDir(".")
	if err != nil {
		panic(err) // they are embedded
	}
	for _, f := range files {
		l := language{lang: f.Name()}
		file := path.Join(l.lang, "language.json")
		text, err := records.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(text, &l)
		}
		if err != nil {
			panic(file + ": " + err.Error())
		}
		for i := range l.Builds {
			l.Builds[i].Lang = l.lang
		}
		for i := range l.Rows {
			l.Rows[i].Lang = l.lang
		}
		list = append(list, l)
	}
	place := func(l language) int {
		if i := slices.Index(order, l.lang); i >= 0 {
			return i
		}
		return len(order)
	}
	slices.SortStableFunc(list, func(a, b language) int { return place(a) - place(b) })
	return list
}

// embedded returns the registry of this directory.
func embedded() (r registry) {
	r.languages = readRecords()
	for _, l := range r.languages {
		r.Builds = append(r.Builds, l.Builds...)
		r.Peers = append(r.Peers, l.Peers...)
	}
	return r
}

// Rows returns the rows of the comparison, language by language.
func Rows() (rows []Row) {
	for _, l := range readRecords() {
		rows = append(rows, l.Rows...)
	}
	return rows
}

// Rowless returns the peers that are in no row, with the reason.
func Rowless() map[string]string {
	why := map[string]string{}
	for _, s := range embedded().Peers {
		if s.NoRow != "" {
			why[s.Name] = s.NoRow
		}
	}
	return why
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
