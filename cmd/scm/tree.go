package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// A commandInfo describes a command and its subcommands to programs that write documentation, such
// as tools/man.
type commandInfo struct {
	Name     string        `json:"name"` // without the names of its parents
	Use      string        `json:"use"`  // the usage line
	Aliases  []string      `json:"aliases,omitempty"`
	Short    string        `json:"short"`
	Long     string        `json:"long,omitempty"`
	Example  string        `json:"example,omitempty"`
	Flags    []flagInfo    `json:"flags"`
	Commands []commandInfo `json:"commands,omitempty"`
}

// A flagInfo describes a flag. A flag that needs no argument has no value.
type flagInfo struct {
	Name      string `json:"name"`
	Shorthand string `json:"shorthand,omitempty"`
	Value     string `json:"value,omitempty"`
	Default   string `json:"default"`
	Usage     string `json:"usage"`
}

// treeCommand returns a command that prints all commands that --help lists, except help itself.
func treeCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "command-tree",
		Short:  "Print the commands and their flags as JSON",
		Hidden: true,
		Args:   cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			printJSON(cmd.OutOrStdout(), describeCommand(cmd.Root()))
		},
	}
}

func describeCommand(cmd *cobra.Command) commandInfo {
	cmd.InitDefaultHelpFlag()
	cmd.InitDefaultVersionFlag()
	info := commandInfo{
		Name:    cmd.Name(),
		Use:     cmd.UseLine(),
		Aliases: cmd.Aliases,
		Short:   cmd.Short,
		Long:    cmd.Long,
		Example: cmd.Example,
		Flags:   []flagInfo{},
	}
	for _, f := range append(visited(cmd.LocalFlags().VisitAll), visited(cmd.InheritedFlags().VisitAll)...) {
		if f.Hidden {
			continue
		}
		value, usage := valueName(f.Usage, f.Value.Type())
		info.Flags = append(info.Flags, flagInfo{
			Name:      f.Name,
			Shorthand: f.Shorthand,
			Value:     value,
			Default:   f.DefValue,
			Usage:     usage,
		})
	}
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			info.Commands = append(info.Commands, describeCommand(sub))
		}
	}
	return info
}

// visited returns the values that a function such as FlagSet.VisitAll visits. It is generic so that
// the module does not have to require pflag, whose types cobra's functions use.
func visited[T any](visitAll func(func(T))) []T {
	var list []T
	visitAll(func(v T) { list = append(list, v) })
	return list
}

// valueName returns the name that --help prints for the value of a flag, and the usage without back
// quotes. Like pflag.UnquoteUsage, it prefers a name in back quotes.
func valueName(usage, kind string) (name, plain string) {
	before, rest, _ := strings.Cut(usage, "`")
	if name, after, quoted := strings.Cut(rest, "`"); quoted {
		return name, before + name + after
	}
	if kind == "bool" {
		return "", usage
	}
	return kind, usage
}
