// Package kinds creates the files that scenarios use. It can create every kind of
// file in scenario.FileKinds. It also reports which kinds of file and which socket
// options this system does not support.
package kinds
