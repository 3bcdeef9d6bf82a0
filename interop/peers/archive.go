package peers

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// Archive builds the peers that an archive of make dist contains for an architecture, and copies their programs to dir.
// The environment says how to link them statically (tools/dist.sh). Like Build, it works in outDir.
//
// It returns one Built for each peer of the repository. The commands are relative to dir. A peer that the archive does
// not contain has a reason.
func Archive(ctx context.Context, root, outDir, dir, arch string, log io.Writer) ([]Built, error) {
	return archive(ctx, embedded(), root, outDir, dir, arch, log)
}

func archive(ctx context.Context, r registry, root, outDir, dir, arch string, log io.Writer) ([]Built, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	var names []string
	for _, s := range r.Peers {
		if archives := r.recipe(s.Build).Archives; slices.Contains(archives, arch) || slices.Contains(archives, "all") {
			names = append(names, s.Name)
		}
	}
	built := build(ctx, r, root, outDir, names, log)
	var list []Built
	for _, s := range r.Peers {
		i := slices.Index(names, s.Name)
		if i < 0 {
			list = append(list, Built{Name: s.Name, Lang: r.recipe(s.Build).Lang, FewPairs: s.FewPairs,
				Why: "not in the archive for " + arch + "; build it from source"})
			continue
		}
		b := built[i]
		if b.Why != "" {
			return nil, fmt.Errorf("peer %s: %s", b.Name, b.Obstacle())
		}
		program := filepath.Base(b.Command[0])
		if text, err := exec.CommandContext(ctx, "cp", b.Command[0], filepath.Join(dir, program)).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("cp: %w: %s", err, text)
		}
		b.Command[0] = "./" + program
		list = append(list, b)
	}
	return list, nil
}
