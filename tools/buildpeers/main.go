// Command buildpeers builds the peers from source, and writes the list of them for `scm interop run --peers`.
//
//	go run ./tools/buildpeers [-out build/peers] [NAME or LANGUAGE…]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/scm-rights/scm/interop/peers"
)

func main() {
	out := flag.String("out", "build/peers", "the folder for the programs and for peers.json")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	list := peers.Build(ctx, ".", *out, flag.Args(), os.Stderr)
	file := filepath.Join(*out, "peers.json")
	if err := peers.WriteList(file, list); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
	var built, missing []string
	for _, b := range list {
		if b.Why == "" {
			built = append(built, b.Name)
		} else {
			missing = append(missing, fmt.Sprintf("peers: not built: %s (%s): %s", b.Name, b.Lang, b.Why))
		}
	}
	fmt.Printf("peers: built %d of %d: %s\n", len(built), len(list), strings.Join(built, " "))
	for _, line := range missing {
		fmt.Println(line)
	}
	fmt.Println("peers: the list is", file)
}
