module github.com/scm-rights/scm/internal/difftest

go 1.26.3

require (
	github.com/scm-rights/scm v0.0.0
	golang.org/x/sys v0.49.0
)

replace github.com/scm-rights/scm => ../..
