module github.com/scm-rights/scm/interop/peers/go/runc

go 1.26.3

require (
	github.com/opencontainers/runc v1.5.2
	github.com/scm-rights/scm v0.0.0
)

require (
	cyphar.com/go-pathrs v0.2.6 // indirect
	github.com/cyphar/filepath-securejoin v0.7.0 // indirect
	github.com/sirupsen/logrus v1.9.4 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace github.com/scm-rights/scm => ../../../..
