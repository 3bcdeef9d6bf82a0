// Package man writes the manual pages of scm: scm.1 and a page for each subcommand.
package man

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// Command returns the command that writes the pages. They have no date, unless the environment variable
// SOURCE_DATE_EPOCH sets one. The same program therefore always writes the same pages.
func Command() *cobra.Command {
	return &cobra.Command{
		Use:    "man-pages DIR",
		Short:  "Write the manual pages of scm to a directory",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			date, err := dateOf(os.Getenv("SOURCE_DATE_EPOCH"))
			if err != nil {
				return err
			}
			if err := os.MkdirAll(args[0], 0o777); err != nil {
				return err
			}
			var errs []error
			for name, text := range pages(cmd.Root(), date) {
				errs = append(errs, os.WriteFile(filepath.Join(args[0], name+".1"), []byte(text), 0o666))
			}
			return errors.Join(errs...)
		},
	}
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
