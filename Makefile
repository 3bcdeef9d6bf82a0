# The front door, for GNU make: `make help` lists what there is.
#
#   SETUP=0    leaves out the set-up (tools/setup)
#   CI=true    makes an error of what is otherwise skipped for want of a tool
#   PEERS=all  has interop set up and play every peer, in place of C, Rust and the languages that are there
#   ARCH=…     runs foreign on these architectures alone
#   RESULTS=…  is where test and check keep the output and the counts of each part (build/test)
#   SCM_SOAK=… is how long soak takes for each backend, in the words of sleep(1)
#   AS_USER=tools/as-user.sh, as root, runs the tests on pure Go as a user without a compiler
#   NEWEST=build/newest runs the tests on pure Go in a copy of the tree there, with the newest modules (tools/newest.sh)

# What is red does not keep the rest from running.
MAKEFLAGS += --warn-undefined-variables --no-print-directory --keep-going
# Every 15 seconds the shell of a recipe prints what is running.
SHELL := tools/beat.sh
.SHELLFLAGS = target=$@ -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
# What runs side by side is left to go, cargo and the makes below.
.NOTPARALLEL:

SETUP ?= 1
CI ?=
PEERS ?=
ARCH ?=
AS_USER ?=
NEWEST ?=
SCM_SOAK ?= 10m
RESULTS ?= build/test
GO ?= go
CLANG_FORMAT ?= clang-format
CLANG_TIDY ?= clang-tidy
# A third less work, for half as much memory again.
VET := GOGC=400 $(CURDIR)/build/lint/vet
STATICCHECK := GOGC=400 $(CURDIR)/build/lint/staticcheck
RUFF := build/venv/bin/ruff
CARGO_FLAGS := --manifest-path interop/peers/rust/Cargo.toml
# The makes below have undefined variables of their own.
SUBMAKE = env -u MAKEFLAGS $(MAKE) --keep-going --no-print-directory CC="$$($(GO) env CC)" -C

find = $(shell find . \( -path ./build -o -name .git -o -name target -o -name vendor \) -prune -o -name '$(1)' -print | sort)
MODULES = $(filter-out .,$(patsubst %/go.mod,%,$(call find,go.mod)))
# csrc lints itself.
C_FILES = $(filter-out ./csrc/%,$(call find,*.c))
H_FILES = $(filter-out ./csrc/%,$(call find,*.h))
C_FLAGS := -std=c99 -D_GNU_SOURCE -Icsrc
SHELL_FILES = tools/setup .ci/run $(call find,*.sh)

# A go.work in a folder above is not for scm.
export GOWORK := off

# Of a checkout of another owner git tells nothing, and go build fails, unless it records no version.
ifeq ($(shell git rev-parse HEAD >/dev/null 2>&1 || echo refused),refused)
export GOFLAGS += -buildvcs=false
endif

.PHONY: help
help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' Makefile

.PHONY: setup setup-c setup-interop setup-test setup-lint setup-cross
setup: ## install the tools that test, interop and lint lack (apt, as root; else say what is missing)
	tools/setup test lint

setup-c setup-interop setup-test setup-lint setup-cross: setup-%:
	@[ "$(SETUP)" = 0 ] || tools/setup $*

# Runs a part of the tests and keeps its output and outcome in RESULTS.
part = $(GO) run ./tools/gotest -results $(RESULTS) -name

# Makes the targets $(1) and then, even after an interrupt, prints the outcome of the parts $(2).
define judged
@trap : INT; rm -rf $(RESULTS); status=0; \
$(MAKE) $(1) || status=$$?; \
$(GO) build -o build/gotest ./tools/gotest && build/gotest -results $(RESULTS) -verdict "make $@" -failed $$((status > 0)) $(2) || status=1; \
exit $$status
endef

# Runs the rest of the line if there is a C compiler, and otherwise skips the part $(1).
with_c = if [ "$$($(GO) env CGO_ENABLED)" != 1 ]; then $(part) $(1) -skip "no C compiler ($$($(GO) env CC)) in PATH"; exit; fi;

.PHONY: test test-cgo test-purego test-c test-modules
test: setup-c ## run the tests: Go on each backend, C plain and under sanitizers and valgrind; end with a verdict
	@tools/setup -n test
	$(call judged,test-cgo test-purego test-c test-modules,cgo purego c $(MODULES:./%=%))

test-cgo:
	@$(call with_c,cgo) $(part) cgo -- ./...

# What has no backend in it was tested by the run before, where that was possible. Another user runs as well what
# looks at descriptors and processes, but for what takes minutes and no user changes.
# With NEWEST this run uses the newest modules. test-cgo uses the oldest, so CI needs no third run to test both.
test-purego:
	@if [ -n "$(NEWEST)" ]; then \
		tools/newest.sh "$(NEWEST)"; \
		status=0; $(MAKE) -C "$(NEWEST)" test-purego NEWEST= RESULTS=build/test || status=$$?; \
		mkdir -p "$(RESULTS)"; cp "$(NEWEST)"/build/test/* "$(RESULTS)"; exit $$status; \
	fi; \
	packages=./...; short=; \
	if [ "$$($(GO) env CGO_ENABLED)" = 1 ]; then \
		which='scm/internal/pure'; \
		if [ -n "$(AS_USER)" ]; then short=-short; which='scm/(internal/(pure|fdtest)|interop/(process|reference))'; fi; \
		packages=$$($(GO) list -tags purego -test -f '{{.ImportPath}} {{.Deps}}' ./... | \
			awk -v which="$$which" '/^[^ ]*\.test / && $$1 !~ "/tools/" && $$0 ~ which { sub(/\.test$$/, "", $$1); print $$1 }'); \
		echo "purego run: the packages with a backend in them$${short:+, or descriptors and processes}"; \
	fi; \
	$(AS_USER) $(part) purego -- -tags purego $$short $$packages

test-c:
	@$(call with_c,c) $(part) c -command -- $(SUBMAKE) csrc -j2 -Oline check

test-modules:
	@red=; for m in $(MODULES:./%=%); do \
		if old=$$({ $(GO) -C $$m list -m 2>&1 || true; } | grep -E 'requires go|toolchain'); then \
			$(part) $$m -skip "$$old" || red="$$red $$m"; continue; \
		fi; \
		echo "$$m: go test"; \
		$(part) $$m -C $$m -- ./... || red="$$red $$m"; \
	done; [ -z "$$red" ] || { echo "test-modules:$$red"; exit 1; }

# What takes longer than a commit can wait for.
LONG := cmd/scm|interop|interop/catalogue|internal/(repotest|torture)|tools/prove/(golden|identity)

.PHONY: check check-lint check-go check-house check-c
check: ## what is quick of lint and test, before a commit: Go, the library on both backends, the C; end with a verdict
	$(call judged,check-lint check-go check-house check-c,lint cgo purego house c)

check-lint:
	@$(part) lint -command -- $(MAKE) lint-go

check-go:
	@trap : INT; packages=$$($(GO) list ./... | grep -vxE '[^/]*/[^/]*/scm/($(LONG))'); \
	$(part) cgo -- $$packages & \
	$(part) purego -- -tags purego . ./fdchannel ./internal/pure ./wire || red=purego; \
	{ wait $$! || wait $$!; } && [ -z "$${red-}" ]

check-house:
	@$(part) house -- ./internal/repotest -ginkgo.label-filter=house

check-c:
	@$(call with_c,c) $(part) c -command -- $(SUBMAKE) csrc -j2 -Oline test

.PHONY: interop peers
interop: setup-$(if $(filter all,$(PEERS)),test,interop) peers ## run every scenario between every pair of peers, and print the matrix
	$(GO) build -o build/scm ./cmd/scm
	@mkdir -p build/interop
	build/scm interop run --peers build/peers/peers.json --report build/interop/report.json
	@[ "$(CI)" != true ] || $(GO) run ./tools/readme build/interop/report.json

peers: ## build the peers into build/peers, and name those that could not be built
	$(GO) run ./tools/buildpeers -out build/peers

.PHONY: steady
steady: setup-test peers ## run the peers inside 20 times and all of them 3 times, with every core busy at last: each run gives the same
	$(GO) build -o build/scm ./cmd/scm
	tools/steady.sh

.PHONY: golden
golden: setup-cross ## compare the control buffers of pure Go with those of C, on each architecture and libc
	$(GO) run ./tools/prove golden

# What runs natively is looked at with strace, which is of the group test.
.PHONY: foreign
foreign: setup-test setup-cross ## run the tests and the matrix on other architectures and libcs; ARCH=s390x for one
	$(GO) run ./tools/prove foreign $(ARCH)

.PHONY: identity identity-mutants
identity: setup-test setup-cross ## prove that the backends are the same to the byte, and scm its originals but for docs/departures.md
	$(GO) run ./tools/prove identity

identity-mutants: setup-cross ## run the tests of that proof: faults put into one backend are found, and named
	$(GO) run ./tools/prove identity -mutants

# Each backend is a build of its own; both are in the tables.
.PHONY: bench bench-keep bench-check bench-build
bench: setup-test bench-build ## hold both backends, and other libraries, against a loop in C: tables, and rows.json and pictures in build/bench
	build/bench/purego -only "scm " -out build/bench >build/bench/purego.md
	build/bench/cgo -in build/bench/rows.json -out build/bench | tee build/bench/tables.md

bench-keep: ## keep what make bench has found: docs/performance.json, its pictures, and the tables of docs/performance.md
	cp build/bench/rows.json docs/performance.json
	cp build/bench/ratios.svg docs/performance-ratios.svg
	cp build/bench/descriptors.svg docs/performance-descriptors.svg
	sed -i '/^## Tables/q' docs/performance.md
	cat build/bench/tables.md >>docs/performance.md

bench-check: setup-test bench-build ## hold both backends against docs/performance.json; with CI=true their allocations and instructions alone
	build/bench/purego -check docs/performance.json $(if $(filter true,$(CI)),-counts -rounds 1)
	build/bench/cgo -check docs/performance.json $(if $(filter true,$(CI)),-counts -rounds 1)

bench-build:
	@mkdir -p build/bench
	$(GO) build -C bench -o ../build/bench/purego -tags purego .
	$(GO) build -C bench -o ../build/bench/cgo .

.PHONY: lib
lib: ## build the C library (libscm_rights.a, libscm_rights.so, scm_rights.pc) into build/csrc
	$(SUBMAKE) csrc

.PHONY: mutants
mutants: ## run the tests of the tests: faults put in on purpose, and wrong answers in scenarios, turn the suite red
	SCM_MUTANTS=full $(GO) test ./internal/repotest -count=1 -v -timeout 20m -ginkgo.label-filter=mutants
	SCM_MUTANTS=full $(GO) test ./interop/catalogue -count=1 -v -timeout 30m -run TestEveryAnswerMatters

.PHONY: builds
builds: setup-test ## run the specs of other builds: on 386, under cgocheck2 and checkptr
	SCM_BUILDS=full $(GO) test ./internal/repotest -count=1 -v -timeout 20m -ginkgo.label-filter=builds

.PHONY: release-check
release-check: setup-test ## hold the API against the stored one, and build programs outside: vendored, with the oldest and the newest Go and x/sys
	$(GO) test ./internal/repotest -count=1 -v -ginkgo.no-color -ginkgo.v -ginkgo.focus='the API|of a consumer|a module that imports scm'

# A child is run again for each fault: all errnos, on every type of socket.
.PHONY: torture
torture: setup-test ## fail each system call of each function in every way, and kill the process around it, on both backends
	@if [ "$$($(GO) env CGO_ENABLED)" = 1 ]; then \
		SCM_TORTURE=full $(GO) test ./internal/torture -count=1 -timeout 60m -ginkgo.succinct; \
	else \
		echo "skip: cgo run: no C compiler"; \
	fi
	SCM_TORTURE=full $(GO) test ./internal/torture -tags purego -count=1 -timeout 60m -ginkgo.succinct

.PHONY: soak
soak: setup-test ## send a million files over a hundred Conns, and close Conns in use, again and again for SCM_SOAK (10m), on both backends
	@for tags in "" purego; do \
		sleep $(SCM_SOAK) & until=$$!; \
		while kill -0 $$until 2>/dev/null; do \
			SCM_STRESS=full $(GO) test . -tags "$$tags" -count=1 -timeout 2h -ginkgo.succinct -ginkgo.label-filter=stress || { kill $$until; exit 1; }; \
		done; \
	done

.PHONY: lint lint-tools lint-go lint-systems lint-modules lint-c lint-rust lint-python lint-ruby lint-perl lint-php lint-shell
lint: setup-lint lint-go lint-systems lint-modules lint-c lint-rust lint-python lint-ruby lint-perl lint-php lint-shell ## run every linter; one that is missing is an error

lint-tools:
	$(GO) build -C tools/vet -o $(CURDIR)/build/lint/ . honnef.co/go/tools/cmd/staticcheck

# Under the tag purego staticcheck looks once more at the packages whose own files are others there; in the rest nothing
# is different but a package that they import, and with the same names.
lint-go: lint-tools
	@unformatted=$$(gofmt -l $(call find,*.go)); [ -z "$$unformatted" ] || { echo "gofmt: $$unformatted"; exit 1; }
	$(VET) ./...
	GOFLAGS="$$($(GO) env GOFLAGS) -tags=purego" $(VET) ./...
	$(STATICCHECK) ./...
	$(STATICCHECK) -tags purego $$(for tags in cgo purego; do \
		$(GO) list -tags $$tags -f '{{.ImportPath}} {{.GoFiles}} {{.CgoFiles}} {{.TestGoFiles}} {{.XTestGoFiles}}' ./...; \
	done | sort | uniq -u | sed 's/ .*//' | sort -u)
	$(GO) mod tidy -diff

# The other systems that README.md names, each on one architecture, and Linux where the kernel's structures differ most
# from amd64's. Vetting type-checks everything, tests included; nothing runs there, and nothing is compiled.
SYSTEMS := android/arm64 darwin/arm64 freebsd/amd64 openbsd/amd64 netbsd/amd64 dragonfly/amd64 solaris/amd64 illumos/amd64 \
	aix/ppc64 windows/amd64 js/wasm wasip1/wasm plan9/amd64 linux/mips
# On Linux's other architectures, what a consumer compiles.
ARCHITECTURES = $(shell awk '!/^\#/ && $$1 !~ /^(amd64|mips)$$/ { print $$1 }' internal/target/targets.txt | sort -u)

lint-systems: lint-tools
	@red=; for s in $(SYSTEMS) $(ARCHITECTURES:%=linux/%/library); do \
		echo "$$s: vet"; \
		IFS=/ read -r os arch part <<<"$$s"; \
		GOOS=$$os GOARCH=$$arch CGO_ENABLED=0 $(VET) $${part:+-test=false} $$([ -z "$$part" ] && echo ./... || echo . ./csrc ./fdchannel ./internal/pure) || red="$$red $$s"; \
	done; [ -z "$$red" ] || { echo "lint-systems:$$red"; exit 1; }

# Without cgo only those are something else that have constraints on it.
lint-modules: lint-tools
	@for m in $(MODULES); do echo "$$m: vet, staticcheck, go mod tidy -diff"; \
		(cd $$m; $(VET) ./...; ! grep -qr --include='*.go' '^//go:build.*cgo' . || CGO_ENABLED=0 $(VET) ./...; \
		$(STATICCHECK) ./...; $(GO) mod tidy -diff); done

lint-c:
	$(SUBMAKE) csrc lint CI=true
	gcc -Wall -Wextra -pedantic -Wconversion -Werror -fsyntax-only $(C_FLAGS) $(C_FILES)
	clang -Wall -Wextra -pedantic -Wconversion -Werror -fsyntax-only $(C_FLAGS) $(C_FILES)
	$(CLANG_FORMAT) --dry-run -Werror $(C_FILES) $(H_FILES)
	$(CLANG_TIDY) --quiet --warnings-as-errors='*' $(C_FILES) -- $(C_FLAGS)

lint-rust:
	cargo fmt $(CARGO_FLAGS) --check
	cargo clippy $(CARGO_FLAGS) --locked --all-targets --target-dir build/peers/rust -- -D warnings
	cargo fmt --manifest-path wire/testdata/passfd/Cargo.toml --check
	cargo clippy --manifest-path wire/testdata/passfd/Cargo.toml --locked --all-targets --target-dir build/wire -- -D warnings
	cargo fmt --manifest-path tools/prove/identity/vmm/Cargo.toml --check
	cargo clippy --manifest-path tools/prove/identity/vmm/Cargo.toml --locked --all-targets --target-dir build/peers/rust -- -D warnings

lint-python:
	$(RUFF) check
	$(RUFF) format --check

# ruby -wc ends with 0 whatever it warns of.
lint-ruby:
	@command -v ruby >/dev/null || { echo "ruby: not found"; exit 1; }
	@for f in $(call find,*.rb); do said=$$(ruby -wc $$f 2>&1); [ "$$said" = "Syntax OK" ] || { echo "$$f: $$said"; exit 1; }; done

# perl -wc likewise.
lint-perl:
	@command -v perl >/dev/null || { echo "perl: not found"; exit 1; }
	@for f in $(call find,*.pl) $(call find,*.pm); do \
		said=$$(perl -I "$$(dirname $$f)" -wc $$f 2>&1); [ "$$said" = "$$f syntax OK" ] || { echo "$$f: $$said"; exit 1; }; done

lint-php:
	@command -v php >/dev/null || { echo "php: not found"; exit 1; }
	@for f in $(call find,*.php); do php -d display_errors=stderr -d error_reporting=-1 -l $$f | grep -qx "No syntax errors detected in $$f" || { php -l $$f; exit 1; }; done

lint-shell:
	shellcheck $(SHELL_FILES)

.PHONY: fmt
fmt: ## format the Go, C, Rust and Python
	gofmt -w $(call find,*.go)
	$(CLANG_FORMAT) -i $(call find,*.c) $(call find,*.h)
	cargo fmt $(CARGO_FLAGS)
	$(RUFF) format

.PHONY: clean
clean: ## remove build/
	rm -rf build
