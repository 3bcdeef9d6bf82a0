// Package kinds creates the files that scenarios use. It has a maker for each kind of
// file in scenario.FileKinds. It also reports which kinds of file and which socket
// options this system lacks.
package kinds
