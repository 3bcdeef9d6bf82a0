package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/scm-rights/scm/interop/catalogue"
	"github.com/scm-rights/scm/interop/peers"
	"github.com/spf13/cobra"
)

func showCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show GROUP/ID…",
		Short: "Print scenarios, as they are written",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, name := range args {
				text, err := fs.ReadFile(catalogue.Files(), name+".txt")
				if err != nil || !strings.Contains(name, "/") {
					return fmt.Errorf("no scenario is named %q", name)
				}
				if _, err := cmd.OutOrStdout().Write(text); err != nil {
					return broken(err)
				}
			}
			return nil
		},
	}
}

func copyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "copy DIR",
		Short: "Write the scenarios to a new folder, for others to use",
		Long: `Write the scenarios to a new folder, for others to use: GROUP/ID.txt, expected.txt,
README.md, which says how they are read, and PEERS.md, which says how a peer is
written. To play them: run --catalogue DIR --expect DIR/expected.txt.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := args[0]
			if dir == "" {
				return errors.New("copy needs the name of a new folder, and not an empty one")
			}
			dir = filepath.Clean(dir) // the folder above NEW/. is not NEW
			if err := os.MkdirAll(filepath.Dir(dir), 0o777); err != nil {
				return broken(err)
			}
			// The folder is made here: nobody has put one, or a link, in its place.
			switch err := os.Mkdir(dir, 0o777); {
			case errors.Is(err, fs.ErrExist):
				return fmt.Errorf("there is a %s already", dir)
			case err != nil:
				return broken(err)
			}
			if err := os.CopyFS(dir, catalogue.Files()); err != nil {
				return broken(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "PEERS.md"), peers.Contract, 0o666); err != nil {
				return broken(err)
			}
			return nil
		},
	}
}

func checkCatalogueCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check-catalogue [DIR]",
		Short: "Check the scenarios of a folder, or those inside",
		Long: `Check the scenarios of a folder, or those inside: that each can be read and can
fail, has a rule and its source, and a reason for each alternative, and is there once;
and that each line of its expected.txt, if there is one, is about a case.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			files := catalogue.Files()
			if len(args) > 0 {
				var err error
				if files, err = catalogue.Open(args[0]); err != nil {
					return err
				}
			}
			wrong := catalogue.Check(files)
			if len(wrong) > 0 {
				return &exitError{exitFail, errors.Join(wrong...)}
			}
			list, err := catalogue.Load(files)
			if err != nil {
				return broken(err)
			}
			kernel := 0
			for _, s := range list {
				if s.Kernel() {
					kernel++
				}
			}
			if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%d scenarios of peers, %d of the kernel\n", len(list)-kernel, kernel); err != nil {
				return broken(err)
			}
			return nil
		},
	}
}
