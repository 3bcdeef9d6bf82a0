module github.com/scm-rights/scm/interop/peers/go/fdchannel

go 1.26.3

require (
	github.com/scm-rights/scm v0.0.0
	gvisor.dev/gvisor v0.0.0-20260905035102-160fafc42237
)

require golang.org/x/sys v0.49.0 // indirect

replace github.com/scm-rights/scm => ../../../..
