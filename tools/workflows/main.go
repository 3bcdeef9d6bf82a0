// Command workflows checks the CI configuration of this repository, and the blocks of docs/ci.md that users copy.
//
//	workflows [-C DIR] [-actionlint PROGRAM] [-check-jsonschema PROGRAM]
//
// actionlint checks the workflows and the GitHub block of the page, including the inputs of the action, but it does not
// read the action itself. check-jsonschema compares the action, the workflows, the GitLab block and Dependabot's
// configuration with their schemas. Neither uses the network.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/scm-rights/scm/internal/markdown"
)

func main() {
	var l linter
	flag.StringVar(&l.root, "C", ".", "the root of the repository")
	flag.StringVar(&l.actionlint, "actionlint", "build/lint/actionlint", "the program actionlint")
	flag.StringVar(&l.schemas, "check-jsonschema", "build/venv/bin/check-jsonschema", "the program check-jsonschema")
	flag.Parse()
	if err := l.run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type linter struct {
	root       string
	actionlint string
	schemas    string
}

func (l linter) run() (err error) {
	for _, program := range []*string{&l.root, &l.actionlint, &l.schemas} {
		if *program, err = filepath.Abs(*program); err != nil {
			return err
		}
	}
	for _, program := range []string{l.actionlint, l.schemas} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s: not found; make lint installs it", filepath.Base(program))
		}
	}
	user, err := os.MkdirTemp("", "workflows-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(user)
	if err := l.writeUser(user); err != nil {
		return err
	}
	workflows, err := filepath.Glob(filepath.Join(l.root, ".github/workflows/*.yml"))
	if err != nil || len(workflows) == 0 {
		return errors.Join(err, errors.New(".github/workflows: no workflow found"))
	}
	return errors.Join(
		command(l.root, l.actionlint, workflows...),
		command(user, l.actionlint, githubFile),
		l.check("github-workflows", append(workflows, filepath.Join(user, githubFile))...),
		l.check("github-actions", filepath.Join(l.root, "action.yml")),
		l.check("dependabot", filepath.Join(l.root, ".github/dependabot.yml")),
		l.check("gitlab-ci", filepath.Join(user, gitlabFile)),
	)
}

const (
	githubFile = ".github/workflows/interop.yml"
	gitlabFile = ".gitlab-ci.yml"
)

// writeUser makes the directory look like the repository of a user who copied both blocks. The GitHub block checks
// this repository out as "scm". actionlint looks for .git to find the root, to which the path of the action is relative.
func (l linter) writeUser(dir string) error {
	page, err := os.ReadFile(filepath.Join(l.root, "docs/ci.md"))
	if err != nil {
		return err
	}
	github := markdown.Below(string(page), "GitHub", "yaml")
	gitlab := markdown.Below(string(page), "GitLab", "yaml")
	if len(github) != 1 || len(gitlab) != 1 {
		return fmt.Errorf("docs/ci.md: %d blocks of YAML below GitHub and %d below GitLab, want one each", len(github), len(gitlab))
	}
	for _, name := range []string{".git", filepath.Dir(githubFile)} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			return err
		}
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, githubFile), []byte(github[0]), 0o600),
		os.WriteFile(filepath.Join(dir, gitlabFile), []byte(gitlab[0]), 0o600),
		os.Symlink(l.root, filepath.Join(dir, "scm")),
	)
}

// check compares files with one of the schemas that check-jsonschema contains.
func (l linter) check(schema string, files ...string) error {
	args := []string{"--builtin-schema", "vendor." + schema}
	if schema == "gitlab-ci" {
		args = append(args, "--data-transform", schema) // for !reference
	}
	return command(l.root, l.schemas, append(args, files...)...)
}

// command runs a linter in the directory. If it fails, the error contains its output.
func command(dir, program string, args ...string) error {
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s in %s: %w\n%s", filepath.Base(program), dir, err, bytes.TrimSpace(out))
	}
	return nil
}
