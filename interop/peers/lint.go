package peers

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// linters are the commands that check the code in a language, everywhere in the repository.
type linters struct {
	Needs    []string      `json:"needs"` // as in a recipe
	Commands []lintCommand `json:"commands"`
}

// A lintCommand runs once in the root of the repository or, if it has Files, for each file whose name matches this
// pattern. {file} is then the file and {dir} its directory. The command must succeed, and print only Prints if
// that is not empty, because several interpreters exit with 0 after a warning.
type lintCommand struct {
	Files  string   `json:"files"`
	Run    []string `json:"run"`
	Prints string   `json:"prints"`
}

// Lint runs the linters of a language, or of every language without names. root is the repository.
func Lint(ctx context.Context, root string, names []string, log io.Writer) error {
	root, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	languages := readRecords()
	for _, name := range names {
		if !slices.ContainsFunc(languages, func(l language) bool { return l.lang == name && len(l.Lint.Commands) > 0 }) {
			return fmt.Errorf("lint: no language with linters is named %q", name)
		}
	}
	var red []string
	for _, l := range languages {
		if len(names) > 0 && !slices.Contains(names, l.lang) {
			continue
		}
		if err := l.lint(ctx, root, log); err != nil {
			fmt.Fprintf(log, "%s: %v\n", l.lang, err)
			red = append(red, l.lang)
		}
	}
	if len(red) > 0 {
		return fmt.Errorf("lint: %s", strings.Join(red, " "))
	}
	return nil
}

func (l language) lint(ctx context.Context, root string, log io.Writer) error {
	words := replacements{"root": root}
	for _, need := range l.Lint.Needs {
		tool, path, err := findTool(ctx, need)
		if err != nil {
			return err
		}
		words[tool] = path
	}
	bad := 0
	for _, c := range l.Lint.Commands {
		files := []string{""}
		if c.Files != "" {
			var err error
			if files, err = filesNamed(root, c.Files); err != nil {
				return err
			}
			if len(files) == 0 {
				return fmt.Errorf("no file matches %s", c.Files)
			}
		}
		for _, file := range files {
			words["file"], words["dir"] = file, filepath.Dir(file)
			args := words.expand(c.Run)
			cmd := exec.CommandContext(ctx, args[0], args[1:]...)
			cmd.Dir = root
			out, err := cmd.CombinedOutput()
			said := strings.TrimSpace(string(out))
			if err != nil || c.Prints != "" && said != words.expand([]string{c.Prints})[0] {
				fmt.Fprintf(log, "%s: %v\n%s\n", strings.Join(args, " "), err, said)
				bad++
			}
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d commands failed", bad)
	}
	return nil
}

// filesNamed returns the files below root whose names match the pattern, without those of builds.
func filesNamed(root, pattern string) (list []string, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case d.IsDir():
			if name == ".git" || name == "target" || name == "vendor" || path == filepath.Join(root, "build") {
				return fs.SkipDir
			}
			return nil
		default:
			matched, err := filepath.Match(pattern, name)
			if matched {
				relative, _ := filepath.Rel(root, path) // it is below root
				list = append(list, relative)
			}
			return err
		}
	})
	return list, err
}
