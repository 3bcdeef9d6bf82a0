# What both Makefiles, here and in proof, have in common.
# Keep going after a failure.
MAKEFLAGS += --warn-undefined-variables --no-print-directory --keep-going
SHELL := bash
.SHELLFLAGS = -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
# Every target is a command.
.PHONY: $(shell sed -n '/^[a-z][a-z -]*:/s/:.*//p' Makefile)
SETUP ?= 1
CI ?=
ARCH ?=
GO ?= go
# In recipes, it is a variable of the shell, because the path may contain a space or a quote.
up := $(dir $(lastword $(MAKEFILE_LIST)))..
export ROOT := $(abspath $(up))
GOTEST ?= $(GO) test
JUNIT ?=
SLOW ?=
AS_USER ?=
# The packages for other programs, and the internal packages with tests that run on other Unix systems. go test starts them in
# this order, and interoptest takes the longest.
LIBRARY = . ./interoptest $(filter-out ./cmd% ./csrc% ./examples% ./internal% ./interop% ./tools%,$(call packages,$(GO) list ./...))
PORTABLE = $(call packages,GOOS=netbsd CGO_ENABLED=0 $(GO) list $(has_tests) ./internal/...)
# The packages of the module below its root that a command prints.
packages = $(or $(shell cd $(up) && GOWORK=off $(1) | sed -n 's|^github.com/scm-rights/scm/|./|p'),$(error no packages: $(1)))
has_tests = -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}'
# Go before 1.21 cannot parse go.mod, and does not say which version is needed.
old_go = $(shell [ "$$($(GO) version | sed 's/.* go1\.\([0-9]*\).*/\1/')" -lt 24 ] 2>/dev/null && $(GO) version)
ifneq ($(and $(filter-out help setup-c lib clean,$(or $(MAKECMDGOALS),help)),$(old_go)),)
$(error scm needs Go 1.24 or newer, and this is $(old_go))
endif
# Ignore a go.work in a parent directory.
export GOWORK := off
export GO

# In a checkout that belongs to another user, git refuses to answer. go build then fails unless it records no version.
ifeq ($(shell git rev-parse HEAD >/dev/null 2>&1 || echo refused),refused)
export GOFLAGS += -buildvcs=false
endif

# go, cargo and the sub-makes run things in parallel themselves. Only the parts of the tests run two at a time. Without a C
# compiler that works, a build is pure Go. A compiler that the user has chosen must work.
has_c = [ "$$($(GO) env CGO_ENABLED)" = 1 ] && { [ -n "$$($(GO) env -changed CC)" ] || $(GO) build runtime/cgo; }
HAS_C :=
ifeq ($(filter $(PARTS),$(MAKECMDGOALS)),)
.NOTPARALLEL:
else ifeq ($(shell { $(has_c); } 2>/dev/null && echo yes),yes)
HAS_C := yes
else
export CGO_ENABLED := 0
endif

# Runs the tests of the packages that follow. make lint runs vet. The compiler collects garbage less often, and programs have
# no debugging information, also those that tests build.
go_test = $(if $(JUNIT),$(GO) build -C "$$ROOT/tools/gotestsum" -o "$$ROOT/build/" gotest.tools/gotestsum &&) \
	env -u MAKEFLAGS -u MFLAGS -u JUNIT GOFLAGS="'-toolexec=/usr/bin/env GOGC=400' -ldflags=-w $$($(GO) env GOFLAGS)" \
	$(if $(JUNIT),$(gotestsum)) $(1) $(GOTEST) $(if $(JUNIT),-json) -count=1 -vet=off -timeout=$$((20 * $(or $(SLOW),1)))m
# Prints a line for each package, and then what failed. The command is raw, because AS_USER comes before go test.
gotestsum = "$$ROOT/build/gotestsum" --format=pkgname --hide-summary=skipped \
	--junitfile="$$ROOT/$(JUNIT)/$@.xml" --raw-command --
TEST = $(call go_test,)
TEST_PURE = $(call go_test,$(AS_USER)) -tags=scm_purego $(if $(AS_USER),$(if $(HAS_C),-short))
# Changes to the directory of a module. If the module needs a newer Go, ends the recipe: with CI=true, this is an error.
in = cd $(1); why=$$($(GO) list -m 2>&1) || { echo "$(1): skipped: $$why"; \
	[[ $$why == *'requires go >= '* && "$(CI)" != true ]]; exit; };
# Runs parts. With -Oline, a part's sentence is printed when it begins, and the output of its tests when they end.
parts = $(MAKE) -j2 -Oline
# Runs them with the partners that buildpeers has built.
with_partners = if $(has_c); then export SCM_PARTNERS="$$ROOT/build/peers/partners.json"; fi;

no-c:
	@$(has_c) || true; echo "skipped: what needs a C compiler, because $$($(GO) env CC) does not work or CGO_ENABLED=0"; [ "$(CI)" != true ]
