# What both Makefiles, here and in proof, have in common.
# Keep going after a failure.
MAKEFLAGS += --warn-undefined-variables --no-print-directory --keep-going
SHELL := bash
.SHELLFLAGS = -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
# go, cargo and the sub-makes run things in parallel themselves.
.NOTPARALLEL:
# Every target is a command.
.PHONY: $(shell sed -n '/^[a-z][a-z -]*:/s/:.*//p' Makefile)
SETUP ?= 1
CI ?=
ARCH ?=
GO ?= go
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

# Without a C compiler, a build without the tag scm_purego is pure Go too.
has_c = [ "$$($(GO) env CGO_ENABLED)" = 1 ]
