// Package scenario has the transcripts and what is made of them before and after they are
// played: the parser and its validation, patterns, plans, shards, results and expectations.
// It starts nothing, and works on every system.
package scenario
