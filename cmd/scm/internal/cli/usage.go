package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// UsageHint returns the lines that follow an error about the arguments or flags of a command.
func UsageHint(cmd *cobra.Command) string {
	form := cmd.UseLine()
	if cmd.HasAvailableSubCommands() {
		form = cmd.CommandPath() + " COMMAND"
	}
	return fmt.Sprintf("usage: %s\nhelp:  %s --help\n", form, cmd.CommandPath())
}

// CommandArg rejects all arguments of a command that only has subcommands. The first one is probably a
// misspelled subcommand, or a subcommand of another command.
func CommandArg(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
	if similar := similarCommands(cmd, args[0]); len(similar) > 0 {
		text += fmt.Sprintf("; did you mean %q?", strings.Join(similar, `" or "`))
	}
	return errors.New(text)
}

// similarCommands returns the paths of all commands with this name or, without any, of the
// subcommands with a similar name.
func similarCommands(cmd *cobra.Command, name string) (paths []string) {
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if c.IsAvailableCommand() && c.Name() == name {
			paths = append(paths, c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(cmd.Root())
	if len(paths) > 0 {
		return paths
	}
	cmd.SuggestionsMinimumDistance = 2
	for _, similar := range cmd.SuggestionsFor(name) {
		paths = append(paths, cmd.CommandPath()+" "+similar)
	}
	return paths
}

// NeedArgs returns a function that requires an argument for each of the names.
func NeedArgs(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return fmt.Errorf("%s is missing", names[len(args)])
		}
		return nil
	}
}

// ExactArgs is like NeedArgs, but also rejects further arguments.
func ExactArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > len(names) {
			return fmt.Errorf("unexpected argument %q", args[len(names)])
		}
		return NeedArgs(names...)(cmd, args)
	}
}

// NoArgs rejects any argument. The hint says which flags to use instead.
func NoArgs(hint string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return fmt.Errorf("unexpected argument %q: %s", args[0], hint)
	}
}
