// Command buildpeers builds the peers from source, and writes a list of the peers for
// `scm interop run --peers`.
//
//	go run ./tools/buildpeers [-out build/peers] [NAME or LANGUAGE…]
//	go run ./tools/buildpeers [-out build/peers] -partners
//	go run ./tools/buildpeers [-out build/peers] -archive DIR GOARCH
//	go run ./tools/buildpeers -lint [LANGUAGE…]
//	go run ./tools/buildpeers -missing GROUP
//
// With -partners, it builds only the peers that the tests of package scm need, and writes partners.json instead of
// peers.json. That list has also the user's own partners, which are in the list that $SCM_PARTNERS names. They replace
// ours of the same names. With -archive, which is for tools/dist.sh, it copies the programs for an archive and their
// list to DIR. With -lint, it runs the linters of the languages. With -missing, it lists the tools that a group of
// tools/setup has to install, each with its Debian packages.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/peers"
)

func main() {
	out := flag.String("out", "build/peers", "the `directory` for the programs and for their list")
	partners := flag.Bool("partners", false, "build only the peers that the tests of package scm need")
	archive := flag.String("archive", "", "copy the programs for an archive, and their list, to this `directory`")
	lint := flag.Bool("lint", false, "run the linters of the languages, and build nothing")
	missing := flag.String("missing", "", "list the missing tools of a `group` of tools/setup, and build nothing")
	flag.Parse()
	names, name, own := flag.Args(), "peers.json", []peers.Built(nil)
	if *partners {
		name = "partners.json"
		var err error
		if names, own, err = readPartners(); err != nil {
			fmt.Fprintln(os.Stderr, "peers:", err)
			os.Exit(1)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	if *missing != "" {
		list, err := peers.FindMissing(ctx, *missing)
		if err != nil {
			fmt.Fprintln(os.Stderr, "peers:", err)
			os.Exit(1)
		}
		for _, m := range list {
			fmt.Printf("%s\t%s\n", m.Need, m.Packages)
		}
		return
	}
	if *lint {
		if err := peers.Lint(ctx, ".", flag.Args(), os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	dir, list := *out, []peers.Built(nil)
	if *archive != "" {
		var err error
		if list, err = peers.Archive(ctx, ".", *out, *archive, flag.Arg(0), os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, "peers:", err)
			os.Exit(1)
		}
		dir = *archive
	} else if len(names) > 0 || !*partners {
		list = peers.Build(ctx, ".", *out, names, os.Stderr)
	}
	file := filepath.Join(dir, name)
	if err := peers.WriteList(file, slices.Concat(own, list)); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
	summarize(os.Stdout, list)
	for _, b := range own {
		fmt.Printf("peers: in %s: %s\n", peers.PartnersVariable, b.Name)
	}
	fmt.Println("peers: the list is", file)
}

// readPartners returns the names of the peers to build for the tests of package scm, and the user's own partners.
func readPartners() (names []string, own []peers.Built, err error) {
	names = append(slices.Clone(peers.Partners), "scm-cgo", "scm-purego")
	if own, err = peers.ReadPartners(); err != nil {
		return nil, nil, err
	}
	isOwn := func(name string) bool {
		return slices.ContainsFunc(own, func(b peers.Built) bool { return b.Name == name })
	}
	return slices.DeleteFunc(names, isOwn), own, nil
}

// summarize prints which peers were built. It groups the peers that were not built by reason, with the command
// that installs the missing tools.
func summarize(w io.Writer, list []peers.Built) {
	var built []string
	for _, b := range list {
		if b.Why == "" {
			built = append(built, b.Name)
		}
	}
	fmt.Fprintf(w, "peers: built %d of %d: %s\n", len(built), len(list), strings.Join(built, " "))
	for _, line := range peers.NotBuilt(list) {
		fmt.Fprintf(w, "peers: not built: %s\n", line)
	}
}
