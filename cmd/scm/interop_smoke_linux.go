package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/scm-rights/scm/interop/process"

	"github.com/scm-rights/scm/interop/display"
	"github.com/spf13/cobra"
)

func smokeCommand() *cobra.Command {
	var s selection
	timeout := time.Duration(0)
	cmd := &cobra.Command{
		Use:   "smoke",
		Short: "Ask whether the peers are themselves well",
		Long: `Ask whether the peers are themselves well: each starts, answers what the contract
alone asks for, supports nothing that nobody could, and ends with its input.

Exit status: 0 all peers are well, 3 there is no peer, 4 a peer is not well or not there.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if timeout <= 0 {
				return fmt.Errorf("--timeout must be more than 0")
			}
			p := &plan{}
			if err := s.findPeers(p); err != nil { // a signal ends the program while it reads
				return err
			}
			ctx, stop := untilSignal(true)
			defer stop()
			defer adopt()()
			all, sick := len(p.peers), 0
			tell := func(name, text string) error {
				err := during(ctx, 0, func() error { // nobody may read it
					_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\n", display.Block("", name+": "+text))
					return err
				})
				if cut := interrupted(ctx); cut != nil {
					return cut
				}
				return orBroken(err)
			}
			for _, peer := range p.peers {
				text := ""
				if err := process.Smoke(ctx, peer, timeout); err != nil {
					sick++
					text = err.Error()
				} else {
					text = fmt.Sprintf("well, %s %s, can %s", peer.Hello.Lang, peer.Hello.Version, strings.Join(peer.Hello.Can, ","))
				}
				if err := interrupted(ctx); err != nil {
					return err
				}
				if err := tell(peer.Name, text); err != nil {
					return err
				}
			}
			for _, peer := range p.missing {
				if peer.Why == notGiven {
					continue
				}
				all, sick = all+1, sick+1
				if err := tell(peer.Name, "not there: "+peer.Why); err != nil {
					return err
				}
			}
			switch {
			case sick > 0:
				return broken(fmt.Errorf("%d of %d peers are not well", sick, all))
			case all == 0:
				return &exitError{exitNone, fmt.Errorf("no peers")}
			}
			return nil
		},
	}
	s.peerFlags(cmd)
	cmd.Flags().DurationVar(&timeout, "timeout", process.DefaultTimeout, "deadline for each answer")
	return cmd
}
