// Package kinds makes the files of scenarios, one maker for each kind, and tells which
// kinds and socket options this system lacks.
package kinds
