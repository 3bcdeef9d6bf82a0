package suitecmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/scm-rights/scm/cmd/scm/internal/cli"
	"github.com/scm-rights/scm/interop/catalogue"
	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/peers"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/spf13/cobra"
)

var smokeHelp = `Check the peers themselves, rather than their libraries. Each peer must start, follow the
contract, send and recognize a long payload (@N), answer "unsupported" to unknown
commands, leave no other process with its sockets, and exit within 5 seconds of the end of
its input. A peer that answers "unsupported" to every send or to every receive, as a new
template does, also passes, and the output says so. The output also says which calls that
can= claims a peer answers "unsupported" to, and how many of its cases with the runner are
not run because of its answer to hello.

` + peerHelp + `

Exit status:
  0      all peers work
  2      wrong usage
  3      no peer was selected
  4      a peer does not work, or is unavailable
  128+N  signal N ended the check`

// smokeOptions contains the flags of smoke.
type smokeOptions struct {
	peers   selection
	timeout time.Duration
}

func smokeCommand() *cobra.Command {
	var o smokeOptions
	cmd := &cobra.Command{
		Use:   "smoke",
		Short: "Check that the peers work, without running any scenario",
		Long:  smokeHelp,
		Args:  o.validate,
		RunE:  o.run,
	}
	o.flags(cmd)
	return cmd
}

func (o *smokeOptions) flags(cmd *cobra.Command) {
	o.peers.peerFlags(cmd)
	cmd.Flags().DurationVar(&o.timeout, "timeout", process.DefaultTimeout, "deadline for each answer of a peer")
}

func (o *smokeOptions) validate(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("smoke takes no arguments; to add a peer, use --peer mine=%s", strconv.Quote(args[0]))
	}
	return nil
}

func (o *smokeOptions) run(cmd *cobra.Command, _ []string) error {
	if o.timeout <= 0 {
		return errors.New("--timeout must be more than 0")
	}
	p, err := o.peers.findPeers(false)
	if err != nil {
		return err
	}
	scenarios, err := catalogue.Scenarios()
	if err != nil {
		return err
	}
	return cli.UntilSignal(func(ctx context.Context) error {
		total, failed := 0, 0
		for _, peer := range append(p.peers, p.missing...) {
			if ctx.Err() != nil || peer.Why == scenario.NotSelected || peer.Why == scenario.NotBuiltin {
				continue
			}
			total++
			text, err := o.check(ctx, peer, scenarios)
			if err != nil {
				failed++
				text = err.Error()
			}
			fmt.Fprintln(cmd.OutOrStdout(), display.Block("", peer.Name+": "+text))
		}
		switch {
		case failed > 0:
			return cli.Broken(fmt.Errorf("%d of %d peers do not work", failed, total))
		case total == 0:
			return cli.Exit(cli.ExitNone, errors.New("no peers"))
		}
		return nil
	})
}

// check checks a peer, and returns what it can do.
func (o *smokeOptions) check(ctx context.Context, peer *scenario.Peer, scenarios []*scenario.Scenario) (string, error) {
	if peer.Why != "" {
		return "", fmt.Errorf("unavailable: %s", peer.Why)
	}
	if err := process.Smoke(ctx, peer, o.timeout); err != nil {
		return "", withFlag(err)
	}
	text := fmt.Sprintf("ok, %s %s, can %s", peer.Hello.Lang, peer.Hello.Version, strings.Join(peer.Hello.Can, ","))
	if len(peer.Unfilled) > 0 {
		text += "; " + unfilledText(peer)
		return text, nil
	}
	refused, err := process.Refused(ctx, peer, o.timeout)
	if len(refused) > 0 {
		text += fmt.Sprintf("; answers \"unsupported\" to %s, which its can= claims", strings.Join(refused, ", "))
	}
	if err != nil {
		text += fmt.Sprintf("; not every call that its can= claims could be tried: %v", err)
	}
	cases := slices.DeleteFunc(scenario.Plan(scenarios, []*scenario.Peer{peer}, scenario.RunnerPeer()), func(c scenario.Case) bool {
		return c.A.Name != scenario.RunnerName && c.B.Name != scenario.RunnerName
	})
	if asked := scenario.CountAsked(peer.Name, cases, func(scenario.Case) (none scenario.Obstacle) { return none }); len(asked.NotAsked) > 0 {
		text += fmt.Sprintf("; %d of %d cases with the runner are not run: %s", asked.Cases-asked.Verdicts, asked.Cases, asked.Reasons())
	}
	return text, nil
}

// unfilledText says what a peer does not support, and which functions of a skeleton to fill in.
func unfilledText(peer *scenario.Peer) string {
	functions := peer.Unfilled
	if skeleton, err := peers.FindSkeleton(peer.Hello.Lang); err == nil {
		functions = skeleton.Functions(peer.Unfilled...)
	}
	return fmt.Sprintf("answers \"unsupported\" to every %s: fill in %s", strings.Join(peer.Unfilled, " and every "), strings.Join(functions, " and "))
}
