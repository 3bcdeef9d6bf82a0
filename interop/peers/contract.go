package peers

import _ "embed"

// Contract tells how a peer is written: README.md.
//
//go:embed README.md
var Contract []byte
