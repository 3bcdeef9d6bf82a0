// Package repotest tests the repository: its imports, its names, its builds, what its
// README shows, and whether its tests find a fault.
package repotest
