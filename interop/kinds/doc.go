// Package kinds makes the files of scenarios, one maker for each kind, and reports which
// kinds and socket options this system lacks. The kinds are scenario.FileKinds.
package kinds
