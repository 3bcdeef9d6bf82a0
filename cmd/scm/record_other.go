//go:build !linux

package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func traceCommand() *cobra.Command {
	return linuxOnly("trace", "Print the messages with descriptors of a program (Linux only)", byPtrace)
}

func diffCommand() *cobra.Command {
	return linuxOnly("diff", "Compare what two programs say to the kernel (Linux only)", byPtrace)
}

const byPtrace = "records system calls by ptrace as Linux has it, and runs there only"

func linuxOnly(use, short, why string) *cobra.Command {
	return &cobra.Command{
		Use:                use,
		Short:              short,
		DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error {
			return broken(errors.New(use + " " + why))
		},
	}
}
