module github.com/scm-rights/scm/interop/peers/go/libraries

go 1.26.3

require (
	github.com/opencontainers/runc v1.5.2
	github.com/scm-rights/scm v0.0.0
	gvisor.dev/gvisor v0.0.0-20260905035102-160fafc42237
)

require (
	cyphar.com/go-pathrs v0.2.6 // indirect
	github.com/cyphar/filepath-securejoin v0.7.0 // indirect
	github.com/sirupsen/logrus v1.9.4 // indirect
	golang.org/x/exp v0.0.0-20250711185948-6ae5c78190dc // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/time v0.15.0 // indirect
)

replace github.com/scm-rights/scm => ../../../..
