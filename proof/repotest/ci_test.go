//go:build linux && !purego && !scm_purego

package repotest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm/internal/fdtest"
)

// A ciUser follows docs/testing-a-library.md in the directory of a library.
type ciUser struct {
	dir    string
	blocks []string // the shell blocks of the page
	env    []string
}

// newCIUser returns a user who has the files of a library in testdata/ci.
func newCIUser(library string) ciUser {
	GinkgoHelper()
	u := ciUser{dir: GinkgoT().TempDir(), env: []string{"SCM=" + ok(os.Getwd())}}
	for _, block := range fenced.FindAllStringSubmatch(contents("docs/testing-a-library.md"), -1) {
		if block[1] == "sh" {
			u.blocks = append(u.blocks, block[2])
		}
	}
	Expect(u.blocks).To(HaveLen(7), "one shell block per step, and two in the first")
	from := "proof/repotest/testdata/ci/" + library
	for _, name := range filesBelow(from) {
		Expect(os.WriteFile(u.dir+name, []byte(contents(from+name)), 0o600)).To(Succeed())
	}
	return u
}

// run runs a script with arguments in the user's directory, and returns its exit status and output.
func (u ciUser) run(script string, args ...string) (int, string) {
	GinkgoHelper()
	cmd := exec.Command("sh", append([]string{"-c", script, "sh"}, args...)...)
	cmd.Dir = u.dir
	cmd.Env = append(newcomer(), u.env...)
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) {
		Expect(err).NotTo(HaveOccurred())
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// must runs a script that must succeed, and returns its output.
func (u ciUser) must(script string, args ...string) string {
	GinkgoHelper()
	status, out := u.run(script, args...)
	Expect(status).To(Equal(0), "%s\n%s", script, out)
	return out
}

var (
	actionInput = regexp.MustCompile(`(?m)^  (\w+):\n    description: .*\n    default: '?(.*?)'?$`)
	actionEnv   = regexp.MustCompile(`(?m)^        (\w+): \$\{\{ inputs\.(\w+) \}\}$`)
	actionRun   = regexp.MustCompile(`(?m)^      run: '(.*?)'`)
	stepInput   = regexp.MustCompile(`(?m)^          (\w+): '?(.*?)'?$`)
)

// runAction runs the action like GitHub, with the inputs of the page's workflow and changes to the environment of its
// scripts. It returns the result of the last step.
func (u ciUser) runAction(changes ...string) (status int, out string) {
	GinkgoHelper()
	action := contents("action.yml")
	inputs := map[string]string{}
	for _, m := range actionInput.FindAllStringSubmatch(action, -1) {
		inputs[m[1]] = m[2]
	}
	github := contents("docs/ci/github.yml")
	for _, m := range stepInput.FindAllStringSubmatch(between(github, "- uses: scm-rights/scm@v", "\n      - "), -1) {
		Expect(inputs).To(HaveKey(m[1]))
		inputs[m[1]] = m[2]
	}
	file := u.dir + "/output"
	u.env = append(u.env, "GITHUB_ACTION_PATH="+ok(os.Getwd()), "GITHUB_STEP_SUMMARY="+u.dir+"/summary", "GITHUB_OUTPUT="+file)
	variables := actionEnv.FindAllStringSubmatch(action, -1)
	Expect(variables).To(HaveLen(len(inputs)))
	for _, m := range variables {
		u.env = append(u.env, m[1]+"="+inputs[m[2]])
	}
	u.env = append(u.env, changes...)
	steps := actionRun.FindAllStringSubmatch(action, -1)
	Expect(steps).To(HaveLen(2))
	Expect(action).To(ContainSubstring("\n      if: steps.get.outputs.source == 'yes'\n"))
	for _, step := range steps {
		Expect(os.RemoveAll(file)).To(Succeed())
		if status, out = u.run(step[1]); status != 0 {
			return status, out
		}
		name, value, _ := strings.Cut(strings.TrimSpace(contents(file)), "=")
		switch name {
		case "folder":
			u.env = append(u.env, "SCM_FOLDER="+value)
		case "source":
			u.env = append(u.env, "PATH="+os.Getenv("PATH")) // setup-go adds Go
		}
	}
	return status, out
}

// edit replaces a text that occurs once in one of the user's files.
func (u ciUser) edit(file, old, new string) {
	GinkgoHelper()
	file = filepath.Join(u.dir, file)
	text := contents(file)
	Expect(strings.Count(text, old)).To(Equal(1), "%s: %q", file, old)
	Expect(os.WriteFile(file, []byte(strings.Replace(text, old, new, 1)), 0o600)).To(Succeed())
}

// fillC calls the library in the two functions of the template.
func fillC(u ciUser) {
	u.edit("peer.c", "#include <unistd.h>\n", "#include <unistd.h>\n#include \"fdpass.h\"\n")
	u.edit("peer.c", `	(void)sock, (void)payload, (void)bytes, (void)fds, (void)nfds;
	return UNSUPPORTED;
`, `	return fdpass_send(sock, payload, bytes, fds, nfds);
`)
	u.edit("peer.c", `	(void)sock;
	memset(payload, 0, bytes);
	*fds = -1;
	*nfds = 0;
	*flags = NO_FLAGS;
	return UNSUPPORTED;
`, `	*flags = NO_FLAGS;
	return fdpass_recv(sock, payload, bytes, fds, nfds);
`)
}

func fillPython(u ciUser) {
	u.must("scm/scm interop new-peer python >peer.py")
	u.edit("peer.py", "import sys\n", "import sys\n\nimport fdpass\n")
	u.edit("peer.py", `library reports."""
        raise Unsupported
`, `library reports."""
        return fdpass.send(sock, payload, fds)
`)
	u.edit("peer.py", `the end of the stream."""
        raise Unsupported
`, `the end of the stream."""
        return *fdpass.receive(sock, most, room), None
`)
}

// unfinished matches a line with a reason in the file of expected failures that expect --update wrote.
var unfinished = regexp.MustCompile(`^((?:\S+ )?\S+@mine\S*) \?(.*\n)$`)

var _ = Describe("docs/testing-a-library.md", func() {
	DescribeTable("leads from nothing to a green script, which a fault in the library turns red:",
		func(library string, fill func(ciUser), runFlags, scriptFlags []string, source, good, fault, cause string) {
			if library == "c" {
				needsCompiler()
			}
			for _, program := range []string{"make", "python3"} {
				fdtest.Program(GinkgoTB(), program)
			}
			u := newCIUser(library)
			checkout, template, smoke, run, expect, script := u.blocks[0], u.blocks[2], u.blocks[3], u.blocks[4], u.blocks[5], u.blocks[6]

			if library == "python" { // the faster run of the page
				run = strings.Replace(run, "--peers scm/peers/peers.json", "--builtin=false", 1)
			}

			// One of the peers is enough. make proof-release tests the other way with all of them.
			Expect(checkout).To(HaveSuffix(" c rust\n"))
			u.must(strings.TrimSuffix(checkout, " c rust\n") + " csrc")
			u.must(template)
			fill(u)
			u.must("make peer")
			Expect(u.must(smoke)).To(ContainSubstring("mine: ok, "))

			status, out := u.run(strings.TrimSuffix(run, "\n")+` "$@"`, runFlags...)
			Expect(status).To(Equal(1), out)
			Expect(out).To(MatchRegexp(`(?m)^mine breaks .*\banswer\b.* in \d+ of \d+ cases`))

			Expect(u.must(expect)).To(MatchRegexp(`(?m)^    for example \S+/mine`), "an example for a new line")
			file := u.dir + "/interop-expected.txt"
			finished, named := "", []string{}
			number := 0
			for line := range strings.Lines(contents(file)) {
				number++
				if unfinished.MatchString(line) {
					named = append(named, fmt.Sprintf("interop-expected.txt:%d: ", number))
				}
				finished += unfinished.ReplaceAllString(line, "$1 known:$2")
			}
			// A line is about one scenario.
			Expect(len(named)).To(And(BeNumerically(">=", 1), BeNumerically("<=", 30)), contents(file))
			status, out = u.run(script, scriptFlags...)
			Expect(status).To(Equal(2), "a run with unfinished reasons\n%s", out)
			for _, place := range named {
				Expect(out).To(ContainSubstring(place))
			}

			Expect(os.WriteFile(file, []byte(finished), 0o600)).To(Succeed())
			Expect(u.must(script, scriptFlags...)).To(ContainSubstring("\nmine: of "))

			if library == "c" { // once is enough
				status, out = u.runAction("BUILTIN=false", "RUN=basics/**/mine/**", "WITH=csrc", "VERSION=source")
				Expect(status).To(Equal(0), out)
				Expect(contents(u.dir + "/output")).To(Equal("status=0\n"))
			}

			u.edit(source, good, fault)
			status, out = u.run(script, "--builtin=false", "--run", "basics/**/mine")
			Expect(status).To(Equal(1), out)
			Expect(out).To(MatchRegexp(`(?m)^mine breaks .*\b` + cause + `\b.* in \d+ of \d+ cases`))
		},
		// The script of the one in C runs with the built-in peers, as on the page.
		Entry("one in C stops setting close-on-exec", "c", fillC,
			[]string{"--builtin=false"}, nil,
			"fdpass.c", "MSG_CMSG_CLOEXEC", "0", "cloexec"),
		Entry("one in Python forgets all descriptors but the first", "python", fillPython,
			nil, []string{"--builtin=false"},
			"fdpass.py", "return payload, fds\n", "return payload, fds[:1]\n", "leak"),
	)

	It("has commands that say so if RELEASE or SCM is not set", func() {
		u := newCIUser("c")
		for i, name := range []string{"SCM", "RELEASE"} {
			status, out := u.run("unset " + name + "\n" + u.blocks[i])
			Expect(status).NotTo(Equal(0))
			Expect(out).To(ContainSubstring(name + ": "))
		}
	})

	It("has workflows that run the commands of the script", func() {
		u := newCIUser("c")
		script := u.blocks[6]
		var commands []string
		for line := range strings.Lines(strings.ReplaceAll(u.blocks[1]+script, "\\\n\t", "")) {
			line = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSpace(line), ` "$@"`), " &&")
			if line != "#!/bin/sh" && line != "set -eu" {
				commands = append(commands, line)
			}
		}
		item := regexp.MustCompile(`(?m)^    - (.*)$`)
		var gitlab []string
		for _, m := range item.FindAllStringSubmatch(contents("docs/ci/gitlab.yml"), -1) {
			gitlab = append(gitlab, m[1])
		}
		Expect(gitlab).To(Equal(commands))

		github := contents("docs/ci/github.yml")
		Expect(github).To(ContainSubstring("- run: make peer\n"))
		for _, input := range []string{"peer", "expect"} {
			value := regexp.MustCompile(` --` + input + ` (\S+)`).FindStringSubmatch(script)
			Expect(github).To(MatchRegexp(`(?m)^ +` + input + `s?: ` + regexp.QuoteMeta(value[1]) + `$`))
		}
	})
})
