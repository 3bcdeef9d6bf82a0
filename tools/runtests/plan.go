//go:build linux

package main

import (
	"slices"
	"strings"
)

// A part is a command whose tests are counted together: go test with Packages, or Command.
type part struct {
	Name     string   // also of its log in RESULTS
	Packages []string // patterns, as for go list
	Command  []string // if there are no Packages. With TAP, it prints test results; if not, only its status counts
	TAP      bool

	Dir     string   // of the module of the packages. If it needs a newer Go, the part is skipped. Commands run in the root
	Tags    string   // for the build
	Flags   []string // for go test
	Env     []string // for both
	Not     []string // patterns of packages that are left out
	Backend string   // of package scm: the column of the table
	Exec    string   // a command that runs a test program

	// If a part with cgo runs the same packages, because there is a C compiler, then this one runs only those whose
	// tests depend on the package Using, without those in Same. A part for another user runs all that depend on Using,
	// or on one of UserUsing.
	Using           string
	Same, UserUsing []string

	Installs bool     // it installs tools. If SETUP=0, the part is left out
	NeedsC   bool     // without a C compiler, the part is skipped
	AsUser   bool     // if AS_USER is set, this command runs the part as another user
	Show     bool     // print all of its output at once, not only failures
	After    []string // parts of the plan that must end before it begins
	Alone    bool     // no other part runs at the same time
}

// atOnce is how many parts run at the same time. It is more than one because tests spend a third of their time
// waiting.
const atOnce = 2

// plans lists the parts of each plan, in the order in which they begin. A plan has the name of its make target.
var plans = map[string][]string{
	// What a user wants to know. The catalogue with C and Rust is first, because a new user waits for its table.
	"test": {"setup", "partners", "catalogue-cgo", "catalogue-purego", "scm-cgo", "scm-purego", "c", "cgo", "purego", "difftest"},
	// What make test-all adds: the tests of the suite, the command, the tools and the examples, and the rules of the
	// tree.
	"test-rest":  {"rest-cgo", "rest-purego", "servers", "scmvet", "tree"},
	"check":      {"catalogue-cgo", "catalogue-purego", "scm-cgo", "scm-purego", "c-plain", "cgo", "purego", "quick", "difftest", "tree", "lint"},
	"check-fast": {"lint-fast", "fast", "c-plain"},
	// The tests in the module proof that no other plan runs, and those that need its newer modules.
	"proof-test":      {"setup-c", "partners", "repotest", "proof", "newest", "dist"},
	"proof-bsd":       {"bsd-user", "bsd-root"},
	"proof-bsd-quick": {"bsd-user"},
}

func init() { plans["test-all"] = slices.Concat(plans["test"], plans["test-rest"]) }

// proof/repotest compares these lists with the tree and with the Makefile.
var (
	// library lists the packages for other programs, except package scm.
	library = []string{"./handover/...", "./wire", "./fdchannel", "./fdleak", "./framed", "./interoptest"}
	// internal lists the internal packages that they use and that have tests.
	internal = []string{"./internal/fdtest", "./internal/procfs", "./internal/pure", "./internal/sys", "./internal/testrecord"}
	// portable lists the internal packages whose tests run on other Unix systems.
	portable = []string{"./internal/fdtest", "./internal/promises", "./internal/pure", "./internal/reexec", "./internal/spectest", "./internal/sys", "./internal/testrecord", "./internal/webtest"}
	// slow lists the packages whose tests take too long to run before every commit.
	slow = []string{"./interop", "./cmd/scm", "./interop/catalogue"}
	// tested lists the packages of this module that the plan test runs.
	tested = slices.Concat([]string{"."}, library, internal)
)

// The flags for the specs of the catalogue, and for the other specs and tests of package scm.
var (
	catalogue = []string{"-run=^TestSuite$", "-ginkgo.label-filter=catalogue"}
	others    = []string{"-ginkgo.label-filter=!catalogue"}
)

const pure = module + "/internal/pure"

// inspecting has the packages that inspect descriptors and processes.
var inspecting = []string{module + "/internal/procfs", module + "/interop/reference"}

var parts = []part{
	{Name: "setup", Command: []string{"tools/setup", "interop"}, Installs: true, Show: true, Alone: true},
	{Name: "setup-c", Command: []string{"tools/setup", "c"}, Installs: true, Show: true, Alone: true},
	// The programs in C and Rust run the catalogue with package scm on both backends.
	{Name: "partners", Command: []string{goCommand, "run", "./tools/buildpeers", "-partners"}, Show: true, Alone: true, After: []string{"setup", "setup-c"}},

	// Two parts for each backend, so that the table of the partners is printed early.
	{Name: "catalogue-cgo", Packages: []string{"."}, Flags: catalogue, Backend: "cgo", NeedsC: true},
	{Name: "catalogue-purego", Packages: []string{"."}, Flags: catalogue, Backend: "purego", Tags: "scm_purego", AsUser: true},
	{Name: "scm-cgo", Packages: []string{"."}, Flags: others, Backend: "cgo", NeedsC: true},
	{Name: "scm-purego", Packages: []string{"."}, Flags: others, Backend: "purego", Tags: "scm_purego", AsUser: true},
	{Name: "cgo", Packages: tested, Not: []string{"."}, Backend: "cgo", NeedsC: true},
	{Name: "purego", Packages: tested, Not: []string{"."}, Backend: "purego", Tags: "scm_purego", AsUser: true,
		Using: pure, UserUsing: inspecting, Same: []string{"./interoptest"}},
	{Name: "c", Command: makeC("check"), TAP: true, NeedsC: true},
	{Name: "c-plain", Command: makeC("test"), TAP: true, NeedsC: true},
	// Both backends must return the same results for the same random calls.
	{Name: "difftest", Dir: "proof", Packages: []string{"./difftest"}, NeedsC: true},

	{Name: "rest-cgo", Packages: append(slow, "./..."), Not: tested, Backend: "cgo", NeedsC: true},
	{Name: "rest-purego", Packages: []string{"./..."}, Not: append([]string{"./tools/..."}, tested...), Backend: "purego", Tags: "scm_purego", AsUser: true,
		Using: pure, UserUsing: inspecting, Same: []string{"./cmd/scm", "./interop/catalogue"}},
	{Name: "servers", Dir: "examples/servers", Packages: []string{"./..."}},
	{Name: "scmvet", Dir: "cmd/scmvet", Packages: []string{"./..."}},
	{Name: "tree", Dir: "proof", Packages: []string{"./repotest"}, Flags: []string{"-ginkgo.label-filter=tree"}},

	{Name: "quick", Packages: []string{"./..."}, Not: append(slow, tested...), Backend: "cgo", NeedsC: true},
	{Name: "fast", Packages: []string{"."}, Flags: others, Env: []string{"SCM_TEST_ALONE=1"}},
	// go vet needs the packages compiled, which the tests do. The linters are in proof, which needs a newer Go.
	{Name: "lint", Command: []string{"make", "lint-go"}, Dir: "proof", After: []string{"cgo", "purego", "quick"}},
	{Name: "lint-fast", Command: []string{"make", "lint-fast"}},

	{Name: "repotest", Dir: "proof", Packages: []string{"./repotest"}, Flags: []string{"-ginkgo.label-filter=!tree"}},
	{Name: "proof", Dir: "proof", Packages: []string{"./identity", "./..."}, Not: []string{"./repotest", "./difftest"}},
	// The tests in the root directory use the oldest modules.
	{Name: "newest", Dir: "proof", Packages: append([]string{"./nettest", module}, inProof(library)...), Tags: "scm_purego"},
	{Name: "dist", Dir: "tools/dist", Packages: []string{"./..."}},
	bsd("bsd-user", "1000"),
	bsd("bsd-root", "0"),
}

// inProof returns the import paths of packages, which the module proof needs.
func inProof(packages []string) (names []string) {
	for _, p := range packages {
		names = append(names, module+strings.TrimPrefix(p, "."))
	}
	return names
}

// bsd returns a part that tests each package in an emulated NetBSD machine, as the given user.
func bsd(name, user string) part {
	return part{Name: name, Packages: slices.Concat([]string{"."}, library, portable), Flags: []string{"-p=1"},
		Env:  []string{"GOOS=netbsd", "GOARCH=amd64", "CGO_ENABLED=0"},
		Exec: "${ROOT}/build/bsd/bsd -user " + user + " '${KERNEL}' ${ROOT}/build/bsd/init"}
}

// makeC returns the command that makes a target of csrc. -Oline keeps the results of each program together.
func makeC(target string) []string {
	return []string{"make", "-C", "csrc", "--keep-going", "--no-print-directory", "CC=" + goEnv("CC"), "-j2", "-Oline", target}
}
