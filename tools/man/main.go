// Command man writes the manual pages of scm: scm.1 and a page for each subcommand. It reads the commands and their
// flags as JSON from standard input.
//
//	scm command-tree | go run ./tools/man [-out build/man/man1]
//
// The pages have no date, unless the environment variable SOURCE_DATE_EPOCH sets one. The same input therefore always
// results in the same pages.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// A command is a command of scm, as "scm command-tree" prints it.
type command struct {
	Name     string    `json:"name"`
	Use      string    `json:"use"`
	Aliases  []string  `json:"aliases"`
	Short    string    `json:"short"`
	Long     string    `json:"long"`
	Example  string    `json:"example"`
	Flags    []flagOf  `json:"flags"`
	Commands []command `json:"commands"`
}

// A flagOf is a flag of a command. Value is empty if the flag needs no argument.
type flagOf struct {
	Name      string `json:"name"`
	Shorthand string `json:"shorthand"`
	Value     string `json:"value"`
	Default   string `json:"default"`
	Usage     string `json:"usage"`
}

func main() {
	out := flag.String("out", "build/man/man1", "the `directory` for the pages")
	flag.Parse()
	if err := run(os.Stdin, *out, os.Getenv("SOURCE_DATE_EPOCH")); err != nil {
		fmt.Fprintln(os.Stderr, "man:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out, epoch string) error {
	date, err := dateOf(epoch)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(in)
	// A field that this program does not know would be missing from the pages.
	decoder.DisallowUnknownFields()
	var root command
	if err := decoder.Decode(&root); err != nil {
		return fmt.Errorf("standard input is not the output of scm command-tree: %w", err)
	}
	if err := os.MkdirAll(out, 0o777); err != nil {
		return err
	}
	var errs []error
	for name, text := range pages(root, date) {
		errs = append(errs, os.WriteFile(filepath.Join(out, name+".1"), []byte(text), 0o666))
	}
	return errors.Join(errs...)
}

// dateOf returns the day of a time in seconds since 1970, or nothing for the empty string.
func dateOf(epoch string) (string, error) {
	if epoch == "" {
		return "", nil
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return "", fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	return time.Unix(seconds, 0).UTC().Format(time.DateOnly), nil
}
