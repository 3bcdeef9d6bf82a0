//go:build !linux

package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func interopCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "interop",
		Short: "Play scenarios of descriptor passing with peers in many languages (Linux only)",
		RunE: func(*cobra.Command, []string) error {
			return broken(errors.New("interop asks the Linux kernel about descriptors, and runs there only"))
		},
	}
}
