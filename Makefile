# The targets of the project, for GNU make. `make help` lists them and the variables below.
#
# The text after ## begins with the time that the target takes on two cores: seconds, minutes (up to a
# quarter of an hour) or tens of minutes. The first run takes longer, because it installs tools and
# compiles everything.
#
#   SETUP=0    do not install tools (tools/setup)
#   CI=true    treat a missing tool as an error, instead of skipping what needs it
#   PEERS=all  set up and run every peer in interop, instead of C, Rust and the languages that are installed
#   PAIRS=few  run the peers that have few_pairs in interop/peers/*/language.json only with scm, the runner and themselves
#   ARCH=…     restrict foreign, kernels and dist to these architectures
#   KERNEL=…   restrict kernels to these kernels of internal/target/kernels.txt
#   SYSTEMD=…  restrict systemd to these versions of internal/target/systemd.txt
#   CHECK=…    restrict systemd to the checks whose names match this regular expression
#   DEBIAN_MIRROR=…  download Debian packages from this mirror, instead of those that apt uses
#   RESULTS=…  the directory in which test, test-repo and check keep the output and the counts of each part (build/test)
#   SCM_SOAK=… how long soak runs on each backend, in the format of sleep(1) (10m)
#   AS_USER=tools/as-user.sh  as root, run the pure-Go tests as an unprivileged user without a C compiler
#   NEWEST=build/_newest  run the pure-Go tests in a copy of the tree in that directory, with the newest modules (tools/newest.sh)
#   DESTDIR=…, PREFIX=…, MANDIR=…  where install-man installs (PREFIX: /usr/local; MANDIR: PREFIX/share/man)
#   GO=…, CLANG_FORMAT=…, CLANG_TIDY=…, ACTIONLINT=…, CHECK_JSONSCHEMA=…  the commands to run for these tools

# Keep going after a failure.
MAKEFLAGS += --warn-undefined-variables --no-print-directory --keep-going
# After 5 seconds, and then every 15 seconds, the shell of a recipe prints what is running.
SHELL := tools/beat.sh
.SHELLFLAGS = target=$@ -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
# go, cargo and the sub-makes run things in parallel themselves.
.NOTPARALLEL:

SETUP ?= 1
CI ?=
PEERS ?=
PAIRS ?=
ARCH ?=
SYSTEMD ?=
CHECK ?=
KERNEL ?=
AS_USER ?=
NEWEST ?=
SCM_SOAK ?= 10m
RESULTS ?= build/test
DESTDIR ?=
PREFIX ?= /usr/local
MANDIR ?= $(PREFIX)/share/man
GO ?= go
CLANG_FORMAT ?= clang-format
CLANG_TIDY ?= clang-tidy
# Less garbage collection saves a quarter to a third of the time, and uses half as much memory again, at most 2 GB.
VET := GOGC=off GOMEMLIMIT=2GiB $(CURDIR)/build/lint/vet
STATICCHECK := GOGC=400 $(CURDIR)/build/lint/staticcheck
ACTIONLINT := $(CURDIR)/build/lint/actionlint
CHECK_JSONSCHEMA := build/venv/bin/check-jsonschema
RUFF := build/venv/bin/ruff
# The packages for other programs.
LIBRARY := . ./fdchannel ./fdleak ./framed ./handover ./handover/httpdrain ./wire
# The sub-makes use undefined variables.
SUBMAKE = env -u MAKEFLAGS $(MAKE) --keep-going --no-print-directory CC="$$($(GO) env CC)" -C

find = $(shell find . \( -path ./build -o -name .git -o -name target -o -name vendor \) -prune -o -name '$(1)' -print | sort)
MODULES = $(filter-out .,$(patsubst %/go.mod,%,$(call find,go.mod)))
# csrc has its own lint target.
C_FILES = $(filter-out ./csrc/%,$(call find,*.c))
H_FILES = $(filter-out ./csrc/%,$(call find,*.h))
C_FLAGS = -std=c99 -D_GNU_SOURCE -Icsrc $(patsubst -I%,-isystem %,$(shell pkg-config --cflags gio-unix-2.0 libuv))
SHELL_FILES = tools/setup .ci/run $(call find,*.sh)

# Ignore a go.work in a parent directory.
export GOWORK := off

# In a checkout that belongs to another user, git refuses to answer. go build then fails unless it records no version.
ifeq ($(shell git rev-parse HEAD >/dev/null 2>&1 || echo refused),refused)
export GOFLAGS += -buildvcs=false
endif

.PHONY: help
help: ## seconds: print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { time = text = $$2; sub(/:.*/, "", time); sub(/[^:]*: /, "", text); printf "make %-16s %-15s  %s\n", $$1, time, text }' Makefile
	@echo; echo "The first run takes longer: it installs tools and compiles everything."; echo; echo "Variables, as in make test SETUP=0:"; sed -n '/^$$/q; s/^#   /  /p' Makefile

.PHONY: setup setup-c setup-interop setup-test setup-lint setup-cross setup-machine setup-machines setup-programs setup-programs-check
setup: ## minutes: install the tools that test, interop, lint and programs-check need (with apt, as root; otherwise list what is missing)
	tools/setup test lint programs-check

setup-c setup-interop setup-test setup-lint setup-cross setup-programs setup-programs-check: setup-%:
	@[ "$(SETUP)" = 0 ] || tools/setup $*

# With SETUP=0, these install nothing, and say what is missing.
setup-machine setup-machines: setup-%:
	@tools/setup $(if $(filter 0,$(SETUP)),-n) $*

# Runs one part of the tests, and keeps its output and result in RESULTS.
part = $(GO) run ./tools/gotest -results $(RESULTS) -name

# Makes the targets $(1). Then, even after an interrupt, it prints the results of the parts $(2), and with the flag $(3) what
# they did not run.
define judged
@trap : INT; rm -f $(addsuffix .*,$(addprefix $(RESULTS)/,$(subst /,-,$(2)))); status=0; \
$(MAKE) $(1) || status=$$?; \
$(GO) build -o build/gotest ./tools/gotest && build/gotest -results $(RESULTS) -verdict "make $@" -failed $$((status > 0)) $(3) $(2) || status=1; \
exit $$status
endef

# Without a C compiler, a build without the tag scm_purego is pure Go too.
has_c = [ "$$($(GO) env CGO_ENABLED)" = 1 ]
# Runs the rest of the line if there is a C compiler, and otherwise skips the part $(1).
with_c = $(has_c) || { $(part) $(1) -skip "no C compiler ($$($(GO) env CC)) in PATH"; exit; };

# make test-repo runs the tests of the repository and those of the tests: the tests in these directories, and in the
# other packages the tests with these names. make test runs all others.
REPO := bench|internal/repotest|tools
REPO_TESTS := Test(Action|Faults\b)
repo_package = ^[^ ]*/scm/($(REPO))([ /.]|$$)
REPO_MODULES = $(filter bench tools/%,$(MODULES:./%=%))
PRODUCT_MODULES = $(filter-out $(REPO_MODULES),$(MODULES:./%=%))

.PHONY: test test-partners test-parts test-cgo test-purego test-c test-modules
test: setup-interop ## minutes: run the tests: Go on both backends, with partners in C and Rust, C plain and under sanitizers and valgrind; print the totals
	@tools/setup -n test
	$(call judged,test-partners test-parts,cgo purego c $(PRODUCT_MODULES),-partners build/peers/partners.json)

# These programs in C and Rust run the catalogue with package scm in both test-cgo and test-purego, which may run as a user
# without compilers.
test-partners:
	$(GO) run ./tools/buildpeers -partners

test-parts: export SCM_PARTNERS = $(CURDIR)/build/peers/partners.json
# Tests wait for a third of their time, and some packages run alone at the end of a part. The other parts run meanwhile.
test-parts:
	@trap : INT; $(has_c) || unset SCM_PARTNERS; $(MAKE) test-cgo & \
	red=; $(MAKE) test-purego test-c test-modules || red=1; \
	{ wait $$! || wait $$!; } && [ -z "$$red" ]

# go test starts the packages in this order. The longest come first, so that none of them runs alone at the end.
test-cgo:
	@$(call with_c,cgo) $(part) cgo -- -skip '^$(REPO_TESTS)' ./interop ./cmd/scm ./interop/catalogue \
		$$($(GO) list ./... | grep -vE '$(repo_package)')

# The tests of these packages run programs that use pure Go on either backend.
BOTH := cmd/scm|interop/catalogue

# If there is a C compiler, test-cgo has already tested the packages that do not depend on the backend. An unprivileged
# user also runs the packages that inspect descriptors and processes, except for long tests to which the user makes no difference.
# With NEWEST this run uses the newest modules. test-cgo uses the oldest, so CI needs no third run to test both.
# go list -export compiles the packages into the caller's build cache, of which tools/as-user.sh makes a copy each time.
test-purego:
	@if [ -n "$(NEWEST)" ]; then \
		tools/newest.sh "$(NEWEST)"; \
		status=0; $(MAKE) -C "$(NEWEST)" test-purego NEWEST= RESULTS=build/test || status=$$?; \
		mkdir -p "$(RESULTS)"; cp "$(NEWEST)"/build/test/* "$(RESULTS)"; exit $$status; \
	fi; \
	short=; which=.; not=; \
	if $(has_c); then \
		which='scm/internal/pure'; not='$(BOTH)'; \
		if [ -n "$(AS_USER)" ]; then short=-short; which='scm/(internal/(pure|procfs)|interop/reference)'; not=; fi; \
		echo "purego run: the packages that depend on the backend$${short:+, or inspect descriptors and processes}"; \
	fi; \
	packages=$$($(GO) list -tags scm_purego -test -f '{{.ImportPath}} {{.Deps}}' ./... | grep -vE '$(repo_package)' | \
		awk -v which="$$which" -v not="/($$not)[.]test$$" '/^[^ ]*\.test / && $$0 ~ which && $$1 !~ not { sub(/\.test$$/, "", $$1); print $$1 }'); \
	if [ -n "$(AS_USER)" ]; then CGO_ENABLED=0 $(GO) list -trimpath -export -test -deps -tags scm_purego $$packages >/dev/null || :; fi; \
	$(AS_USER) $(part) purego -- -tags scm_purego $$short -skip '^$(REPO_TESTS)' $$packages

test-c:
	@$(call with_c,c) $(part) c -command -- $(SUBMAKE) csrc -j2 -Oline check

test-modules: modules = $(PRODUCT_MODULES)
test-repo-modules: modules = $(REPO_MODULES)
test-modules test-repo-modules:
	@red=; for m in $(modules); do \
		if old=$$({ $(GO) -C $$m list -m 2>&1 || true; } | grep -E 'requires go|toolchain'); then \
			$(part) $$m -skip "$$old" || red="$$red $$m"; continue; \
		fi; \
		echo "$$m: go test"; \
		$(part) $$m -C $$m -- ./... || red="$$red $$m"; \
	done; [ -z "$$red" ] || { echo "$@:$$red"; exit 1; }

.PHONY: test-repo test-repo-parts test-repo-go test-repo-tests test-repo-modules
test-repo: setup-c ## minutes: test the repository and the tests: faults in the code, the docs as pasted, builds of consumers, the tools; print the totals
	@tools/setup -n test
	$(call judged,test-repo-parts,repo repo-tests $(REPO_MODULES),)

test-repo-parts:
	@trap : INT; $(MAKE) test-repo-go & \
	red=; $(MAKE) test-repo-tests test-repo-modules || red=1; \
	{ wait $$! || wait $$!; } && [ -z "$$red" ]

test-repo-go:
	@$(part) repo -- $$($(GO) list ./... | grep -E '$(repo_package)')

test-repo-tests:
	@$(part) repo-tests -- -run '^$(REPO_TESTS)' \
		$$(grep -rlE --include='*_test.go' --exclude-dir=build '^func $(REPO_TESTS)' . | grep -v $(MODULES:%=-e '^%/') | \
			xargs dirname | sort -u)

# These packages take too long to run before every commit.
LONG := cmd/scm|interop|interop/catalogue|internal/(difftest|repotest|torture)|tools/prove/(golden|identity)

.PHONY: check check-lint check-go check-house check-c
check: ## minutes: run the quick parts of lint and test, as before a commit: Go, the library on both backends, C; print the totals
	$(call judged,check-lint check-go check-house check-c,lint cgo purego house c,)

check-lint:
	@$(part) lint -command -- $(MAKE) lint-go

check-go:
	@trap : INT; packages=$$($(GO) list ./... | grep -vxE '[^/]*/[^/]*/scm/($(LONG))'); \
	{ $(call with_c,cgo) $(part) cgo -- $$packages; } & \
	! $(has_c) || packages="$(LIBRARY) ./internal/pure"; \
	$(part) purego -- -tags scm_purego $$packages || red=purego; \
	{ wait $$! || wait $$!; } && [ -z "$${red-}" ]

check-house:
	@$(part) house -- ./internal/repotest -ginkgo.label-filter=house

check-c:
	@$(call with_c,c) $(part) c -command -- $(SUBMAKE) csrc -j2 -Oline test

.PHONY: interop peers
interop: setup-$(if $(filter all,$(PEERS)),test,interop) peers ## minutes: run every scenario between every pair of peers, and print the matrix
	$(GO) build -o build/scm ./cmd/scm
	@mkdir -p build/interop
	build/scm interop run --peers build/peers/peers.json $(if $(filter few,$(PAIRS)),--few-pairs) --report build/interop/report.json
	SCM_PEERS=$(CURDIR)/build/peers/peers.json $(GO) test ./interop/peers -count=1 -run TestBrokenLibraries
	@[ "$(CI)" != true ] || $(GO) run ./tools/readme build/interop/report.json

peers: ## minutes: build the peers into build/peers, and list those that could not be built
	$(GO) run ./tools/buildpeers -out build/peers

.PHONY: programs programs-check
programs: setup-programs ## minutes: run scm poke and scm proxy test on real programs, and compare the findings with tools/programs/programs.txt
	$(GO) build -o build/programs/scm ./cmd/scm
	$(GO) run ./tools/programs

programs-check: setup-programs-check ## seconds: run them on the programs that CI has
	$(GO) build -o build/programs/scm ./cmd/scm
	$(GO) run ./tools/programs -check

.PHONY: steady
steady: setup-test peers ## tens of minutes: run the built-in peers 20 times and all peers 3 times, at the end with every core busy, and compare the results
	$(GO) build -o build/scm ./cmd/scm
	tools/steady.sh

.PHONY: golden
golden: setup-cross ## minutes: compare the control buffers of pure Go with those of C, on every architecture and libc
	$(GO) run ./tools/prove golden

# Native runs use strace, which setup-test installs.
.PHONY: foreign
foreign: setup-test setup-cross ## tens of minutes: run the tests on other architectures (under qemu-user) and libcs; ARCH=s390x for only one
	$(GO) run ./tools/prove foreign $(ARCH)

.PHONY: systemd systemd-check
systemd: setup-machine ## minutes: boot real versions of systemd in emulated machines, and check that packages wire and handover work with them; SYSTEMD=262 for only one, CHECK='a Unix' for only the checks whose names match
	$(GO) run ./tools/prove systemd -run "$(CHECK)" $(SYSTEMD)

systemd-check: setup-machine ## minutes: run the quick ones of these checks
	$(GO) run ./tools/prove systemd -quick $(SYSTEMD)

.PHONY: kernels kernels-check kernels-keep
kernels: setup-test setup-machines dist ## tens of minutes: boot real kernels in emulated machines, and run the kernel scenarios, the built-in peers, relay's tests, fdchannel's specs and the archives of dist there; KERNEL=6.1.176-amd64 or ARCH=s390x for only some
	$(GO) run ./tools/prove kernels -kernel "$(KERNEL)" $(ARCH)

# The kernel is that of a stable Debian release. -quick leaves out the built-in peers, which take about as long as the rest.
kernels-check: setup-machine ## minutes: boot one real kernel, and run the kernel scenarios, relay's tests and fdchannel's specs there
	$(GO) run ./tools/prove kernels -quick -kernel 6.1.176-amd64

kernels-keep: ## seconds: write docs/kernels.json and docs/kernels.md from the results of make kernels
	$(GO) run ./tools/prove kernels -keep

.PHONY: identity identity-mutants
identity: setup-machines setup-test setup-cross ## minutes: prove that both backends make the same calls, byte for byte, and differ from the originals only as docs/departures.md says
	$(GO) run ./tools/prove identity

identity-mutants: setup-machines setup-cross ## tens of minutes: test that proof: it must find and name faults put into one backend
	$(GO) run ./tools/prove identity -mutants

# Each backend needs its own build. The tables have both.
.PHONY: bench bench-keep bench-check bench-build
bench: setup-test bench-build ## tens of minutes: measure both backends and other libraries as a ratio to a loop in C; write tables, rows.json and pictures to build/bench
	build/bench/purego -only "scm " -out build/bench >build/bench/purego.md
	build/bench/cgo -in build/bench/rows.json -out build/bench | tee build/bench/tables.md

bench-keep: ## seconds: copy the results of bench to docs/performance.json, its pictures and the tables of docs/performance.md
	cp build/bench/rows.json docs/performance.json
	cp build/bench/ratios.svg docs/performance-ratios.svg
	cp build/bench/descriptors.svg docs/performance-descriptors.svg
	sed -i '/^## Tables/q' docs/performance.md
	cat build/bench/tables.md >>docs/performance.md

bench-check: setup-test bench-build ## minutes: compare both backends with docs/performance.json; with CI=true only allocations and instructions
	build/bench/purego -check docs/performance.json $(if $(filter true,$(CI)),-counts)
	build/bench/cgo -check docs/performance.json $(if $(filter true,$(CI)),-counts)

bench-build:
	@mkdir -p build/bench
	$(GO) build -C bench -o ../build/bench/purego -tags scm_purego .
	$(GO) build -C bench -o ../build/bench/cgo .

.PHONY: lib
lib: ## seconds: build the C library (libscm_rights.a, libscm_rights.so, scm_rights.pc) into build/csrc
	$(SUBMAKE) csrc

.PHONY: man install-man
man: ## seconds: write the manual pages of scm (scm.1, scm-send.1, …) to build/man/man1
	$(GO) build -o build/scm ./cmd/scm
	rm -rf build/man
	build/scm command-tree | $(GO) run ./tools/man -out build/man/man1

install-man: man ## seconds: install the pages that make man writes, under DESTDIR and PREFIX (/usr/local); make -C csrc install does so for the C library
	install -d "$(DESTDIR)$(MANDIR)/man1"
	install -m 644 build/man/man1/*.1 "$(DESTDIR)$(MANDIR)/man1"

# Compilers for other architectures are not needed for the two that this machine runs.
.PHONY: dist dist-check
dist: setup-interop $(if $(filter-out amd64 386,$(or $(ARCH),all)),setup-machines) ## minutes: build what a release consists of into build/dist: static programs and peers, the C library's source, SBOMs, SHA256SUMS; ARCH="amd64 386" for only some
	tools/dist.sh $(ARCH)

dist-check: setup-test dist ## minutes: test what dist has built, as a user without Go and without a checkout
	SCM_DIST=$(CURDIR)/build/dist $(GO) test ./internal/repotest -count=1 -v -ginkgo.no-color -ginkgo.label-filter=dist

.PHONY: mutants
mutants: ## tens of minutes: test the tests: they must fail for every fault put into the code, and for every wrong answer put into a scenario
	SCM_MUTANTS=full $(GO) test ./internal/repotest -count=1 -v -timeout 20m -ginkgo.label-filter=mutants
	SCM_MUTANTS=full $(GO) test ./internal/difftest -count=1 -v -timeout 20m -run TestFaults
	$(GO) test ./interop/catalogue -count=1 -v -run 'TestEveryAnswerMatters|TestSwappedAnswers'
	SCM_MUTANTS=full $(GO) test ./interop -count=1 -v -timeout 30m -run 'TestFaults|TestStrictLibraryConforms|TestStartingPeersLeaksNoSockets'

.PHONY: builds
builds: setup-test ## minutes: run the specs in other builds: 386, cgocheck2 and checkptr; run the tests of handover on 386 and with -race
	SCM_BUILDS=full $(GO) test ./internal/repotest -count=1 -v -timeout 20m -ginkgo.label-filter=builds

.PHONY: release-check
release-check: setup-test ## minutes: compare the API with the stored one, and build programs outside the module: vendored, with the oldest and the newest Go and x/sys; run the tests with the oldest Go, as CI does
	SCM_OLDEST_GO=full $(GO) test ./internal/repotest -count=1 -v -timeout 60m -ginkgo.no-color -ginkgo.v -ginkgo.focus='the API|of a consumer|a module that imports scm|oldest-go'

.PHONY: release-missing
release-missing: ## seconds: list what a release needs and only the owner of the project can supply; fail if there is anything
	@tools/release-missing.sh

# The full form starts a child process for each fault: every errno, on every type of socket.
.PHONY: torture
torture: setup-test ## tens of minutes: make each system call of each function fail in every way, and kill the process at it, on both backends
	@if $(has_c); then \
		SCM_TORTURE=full $(GO) test ./internal/torture -count=1 -timeout 60m -ginkgo.succinct; \
	else \
		echo "skip: cgo run: no C compiler"; \
	fi
	SCM_TORTURE=full $(GO) test ./internal/torture -tags scm_purego -count=1 -timeout 60m -ginkgo.succinct

.PHONY: soak
soak: setup-test ## tens of minutes: send a million files over a hundred Conns, and close Conns in use, repeatedly for SCM_SOAK (10m), on both backends
	@for tags in "" scm_purego; do \
		[ -n "$$tags" ] || $(has_c) || { echo "skip: cgo run: no C compiler"; continue; }; \
		sleep $(SCM_SOAK) & until=$$!; \
		while kill -0 $$until 2>/dev/null; do \
			SCM_STRESS=full $(GO) test . -tags "$$tags" -count=1 -timeout 2h -ginkgo.succinct -ginkgo.label-filter=stress || { kill $$until; exit 1; }; \
		done; \
	done

.PHONY: handover
handover: setup-c ## minutes: restart a server 200 times under each kind of load and 10 times under clients that pause for about IdleTimeout, and let a process die or stop at each step of a handover 20 times, on both backends
	@for tags in "" scm_purego; do \
		[ -n "$$tags" ] || $(has_c) || { echo "skip: cgo run: no C compiler"; continue; }; \
		$(GO) test ./handover -tags "$$tags" -count=20 -run TestProcessDiesOrStops || exit; \
		SCM_HANDOVER=full $(GO) test ./handover/httpdrain -tags "$$tags" -count=1 -timeout 30m -v -run 'TestNoRequestIsLost|TestClientsThatPause' || exit; \
	done

.PHONY: lint lint-tools lint-go lint-systems lint-modules lint-c lint-peers lint-shell lint-workflows
lint: setup-lint lint-go lint-systems lint-modules lint-c lint-peers lint-shell lint-workflows ## minutes: run every linter; a missing one is an error

lint-tools:
	$(GO) build -C tools/vet -o $(CURDIR)/build/lint/ . honnef.co/go/tools/cmd/staticcheck github.com/rhysd/actionlint/cmd/actionlint

# With the tag scm_purego, the linters run again only on the packages whose files differ. The others differ only in a package
# that they import, which declares the same names.
lint-go: lint-tools
	@unformatted=$$(gofmt -l $(call find,*.go)); [ -z "$$unformatted" ] || { echo "gofmt: $$unformatted"; exit 1; }
	$(VET) ./...
	$(STATICCHECK) ./...
	packages=$$(for tags in cgo scm_purego; do \
		$(GO) list -tags $$tags -f '{{.ImportPath}} {{.GoFiles}} {{.CgoFiles}} {{.TestGoFiles}} {{.XTestGoFiles}}' ./...; \
	done | sort | uniq -u | sed 's/ .*//' | sort -u); \
	GOFLAGS="$$($(GO) env GOFLAGS) -tags=scm_purego" $(VET) $$packages; \
	$(STATICCHECK) -tags scm_purego $$packages
	$(GO) mod tidy -diff

# The other systems that docs/platforms.md lists, each on one architecture, and the Linux architecture whose kernel structures
# differ most from amd64's. vet type-checks everything, including tests. It neither compiles nor runs anything.
# Together with amd64, the systems in ANALYZED compile every file and have both sizes of int, so vet's analyzers would find
# nothing new on the others.
SYSTEMS := android/arm64 darwin/arm64 freebsd/amd64 openbsd/amd64 netbsd/amd64 dragonfly/amd64 solaris/amd64 illumos/amd64 \
	aix/ppc64 windows/amd64 js/wasm wasip1/wasm plan9/amd64 linux/mips
ANALYZED := aix/ppc64 darwin/arm64 solaris/amd64 windows/amd64 linux/mips
# On Linux's other architectures, only the library.
ARCHITECTURES = $(shell awk '!/^\#/ && $$1 !~ /^(amd64|mips)$$/ { print $$1 }' internal/target/targets.txt | sort -u)

lint-systems: lint-tools
	@red=; for s in $(SYSTEMS) $(ARCHITECTURES:%=linux/%/library); do \
		IFS=/ read -r os arch part <<<"$$s"; \
		types=-types; [[ " $(ANALYZED) " != *" $$s "* ]] || types=; \
		echo "$$s: vet$${types:+ $$types}"; \
		GOOS=$$os GOARCH=$$arch CGO_ENABLED=0 $(VET) $$types $${part:+-test=false} \
			$$([ -z "$$part" ] && echo ./... || echo $(LIBRARY) ./csrc ./internal/pure) || red="$$red $$s"; \
	done; [ -z "$$red" ] || { echo "lint-systems:$$red"; exit 1; }

# Only modules with a build constraint on cgo differ without cgo.
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

# The languages of the peers, except C and Go, everywhere in the tree.
lint-peers:
	$(GO) run ./tools/buildpeers -lint

lint-shell:
	shellcheck $(SHELL_FILES)

# actionlint checks the workflows, and check-jsonschema the other files. build/lint/user is the repository of a user who
# copied the files of docs/ci. There, actionlint reads the inputs of the action from the link "scm", because it does not download actions.
lint-workflows: lint-tools
	rm -rf build/lint/user
	mkdir -p build/lint/user/.git build/lint/user/.github/workflows
	sed 's|scm-rights/scm@v.*|./scm|' docs/ci/github.yml >build/lint/user/.github/workflows/github.yml
	ln -s $(CURDIR) build/lint/user/scm
	$(ACTIONLINT) .github/workflows/*.yml
	cd build/lint/user; $(ACTIONLINT) .github/workflows/github.yml
	$(CHECK_JSONSCHEMA) --builtin-schema vendor.github-workflows .github/workflows/*.yml docs/ci/github.yml
	$(CHECK_JSONSCHEMA) --builtin-schema vendor.github-actions action.yml
	$(CHECK_JSONSCHEMA) --builtin-schema vendor.dependabot .github/dependabot.yml
	$(CHECK_JSONSCHEMA) --builtin-schema vendor.gitlab-ci --data-transform gitlab-ci docs/ci/gitlab.yml

.PHONY: fmt
fmt: setup-lint ## seconds: format the Go, C, Rust and Python
	gofmt -w $(call find,*.go)
	$(CLANG_FORMAT) -i $(call find,*.c) $(call find,*.h)
	for manifest in $(call find,Cargo.toml); do cargo fmt --manifest-path $$manifest; done
	$(RUFF) format

.PHONY: clean
clean: ## seconds: remove build/
	rm -rf build
