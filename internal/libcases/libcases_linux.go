// Package libcases has what the tests of a library need to run the interop suite with it.
package libcases

import (
	"github.com/scm-rights/scm/interop/catalogue"
	"github.com/scm-rights/scm/interop/expected"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
)

// Load returns the scenarios, and the failures that the built-in list expects on this kernel.
func Load() ([]*scenario.Scenario, []expected.Line, error) {
	scenarios, err := catalogue.Scenarios()
	if err != nil {
		return nil, nil, err
	}
	list, err := catalogue.Expected(witness.ThisKernel().Kind)
	return scenarios, list, err
}

// With returns the cases of a peer with a partner, which may be the runner or the peer itself, as far as the peer
// supports them.
func With(scenarios []*scenario.Scenario, us, partner, runner *scenario.Peer) (cases []scenario.Case) {
	all := []*scenario.Peer{us}
	if partner != us && partner != runner {
		all = append(all, partner)
	}
	for _, c := range scenario.Plan(scenarios, all, runner) {
		role := scenario.RoleA
		if c.A != us {
			role = scenario.RoleB
		}
		if (c.A == us && c.B == partner || c.A == partner && c.B == us) && c.UnsupportedBy(role) == "" {
			cases = append(cases, c)
		}
	}
	return cases
}
