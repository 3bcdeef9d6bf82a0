# The targets for the library, the suite and the command, for GNU make. `make help` lists them and the variables below.
# The proofs have targets of their own: make proof-X makes X of proof/Makefile.
#
# The text after ## begins with the time that the target takes on two cores: seconds, minutes (up to a
# quarter of an hour) or tens of minutes. The first run takes longer, because it installs tools and
# compiles everything.
#
#   SETUP=0    do not install tools (tools/setup)
#   CI=true    treat a missing tool as an error, instead of skipping what needs it
#   FAST=1     make check in less than a minute: gofmt, go vet, package scm without the catalogue on one backend, and C
#   PEERS=all  set up and run every peer in interop, instead of C, Rust and the languages that are installed
#   PAIRS=few  run the peers that have few_pairs in interop/peers/*/language.json only with scm, the runner and themselves
#   ARCH=…     restrict dist to these architectures
#   SLOW=N     multiply the time limits of tests, such as 20 minutes for a package, on a slow or busy machine
#   RESULTS=…  the directory in which test and check keep the output and the counts of each part (build/test)
#   AS_USER=tools/as-user.sh  as root, run the pure-Go tests as an unprivileged user without a C compiler
#   GO=…       the go command

include tools/common.mk

FAST ?=
PEERS ?=
PAIRS ?=
RUN ?=
AS_USER ?=
# Less garbage collection saves a quarter to a third of the time, and uses half as much memory again, at most 2 GB.
VET := GOGC=off GOMEMLIMIT=2GiB $(CURDIR)/build/lint/vet
# go vet compiles the packages, as the tests do, and remembers which it has checked.
VETTOOL = GOGC=400 $(GO) vet -vettool=$(CURDIR)/build/lint/vet
STATICCHECK := GOGC=400 $(CURDIR)/build/lint/staticcheck
ACTIONLINT := $(CURDIR)/build/lint/actionlint
CHECK_JSONSCHEMA := build/venv/bin/check-jsonschema
ZIZMOR := build/venv/bin/zizmor --offline --quiet
# The packages for other programs.
LIBRARY := . ./fdchannel ./fdleak ./framed ./handover ./handover/httpdrain ./interoptest ./wire
# The internal packages with tests that run on other Unix systems.
PORTABLE := ./internal/fdtest ./internal/promises ./internal/pure ./internal/reexec ./internal/spectest ./internal/sys ./internal/testrecord ./internal/webtest
# The sub-makes use undefined variables.
SUBMAKE = env -u MAKEFLAGS $(MAKE) --keep-going --no-print-directory CC="$$($(GO) env CC)" -C

find = $(shell find . \( -path ./build -o -name .git -o -path '*/rust/target' -o -name vendor \) -prune -o -name '$(1)' -print | sort)
MODULES = $(filter-out .,$(patsubst %/go.mod,%,$(call find,go.mod)))
# csrc has its own lint target.
C_FILES = $(filter-out ./csrc/%,$(call find,*.c))
H_FILES = $(filter-out ./csrc/%,$(call find,*.h))
C_FLAGS = -std=c99 -D_GNU_SOURCE -Icsrc $(patsubst -I%,-isystem %,$(shell pkg-config --cflags gio-unix-2.0 libuv))
SHELL_FILES = tools/setup .ci/run $(call find,*.sh)

help: ## seconds: print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { time = text = $$2; sub(/:.*/, "", time); sub(/[^:]*: /, "", text); printf "make %-13s %-15s  %s\n", $$1, time, text }' Makefile
	@printf 'make %-13s %-15s  %s\n' proof-X '' 'make X of proof/Makefile, as in make proof-kernels QUICK=1; make proof-help lists them'
	@echo; echo "The first run takes longer: it installs tools and compiles everything."; echo; echo "Variables, as in make test SETUP=0:"; sed -n '/^$$/q; s/^#   /  /p' Makefile

setup: ## minutes: install the tools that test, interop and lint need, and with CI=true those of .ci/run (with apt, as root; otherwise list what is missing)
	tools/setup test lint $(if $(filter true,$(CI)),machine programs-check cbmc bsd)

# make setup-c fails if the compiler is still missing, because the commands that follow it need one.
setup-c setup-interop setup-test setup-lint setup-machines: setup-%:
	@[ "$(SETUP)" = 0 ] || tools/setup $(if $(filter $@,$(filter setup-c,$(MAKECMDGOALS))),-e) $*

# Runs one part of the tests, and keeps its output in RESULTS.
part = tools/part.sh
logs = $(addsuffix .log,$(addprefix $(RESULTS)/,$(subst /,-,$(1))))

# Makes the targets $(1), and prints how far they are. Then, even after an interrupt, it prints the results of the parts $(2).
define judged
@trap : INT; rm -f $(call logs,$(2)); status=0; \
tools/progress.sh $(MAKE) gotest $(1) || status=$$?; \
[ ! -e build/gotest ] || build/gotest -failed $$((status > 0)) "make $@" $(call logs,$(2)) || status=1; \
exit $$status
endef

gotest:
	@$(GO) build -o build/gotest ./tools/gotest

# Makes the targets $(1), and at the same time $(2). Tests wait for a third of their time, and some packages run alone at the end.
at_once = trap : INT; $(MAKE) $(1) & red=; $(MAKE) $(2) || red=1; { wait $$! || wait $$!; } && [ -z "$$red" ]
# Runs the rest of the line if there is a C compiler, and otherwise skips the part $(1).
with_c = $(has_c) || { $(part) $(1) skip "no C compiler ($$($(GO) env CC)) in PATH"; exit; };

# The modules with tests that use the library. The tests of proof and of tools are for proof-test. The peers have none.
TESTED_MODULES = $(filter-out proof tools/% interop/peers/%,$(MODULES:./%=%))

# Prints why the go command is too old for the module $(1), and fails if it is not.
too_old = { $(GO) -C $(1) list -m 2>&1 || true; } | grep -E 'requires go|toolchain'
# Runs the rest of the line if the go command is new enough for proof, and otherwise skips the part $(1).
with_proof = ! old=$$($(call too_old,proof)) || { $(part) $(1) skip "$$old"; exit; };

# With CI=true, proof-test runs these with all other tests of proof.
PROVED = $(if $(filter true,$(CI)),,tree difftest)

test: ## minutes: run the tests: Go on both backends, with partners in C and Rust, C plain and under sanitizers and valgrind, the rules of the tree, both backends with the same random calls; print the totals
	@echo "make test takes about five minutes"
	$(call judged,setup-interop test-partners test-parts $(PROVED:%=check-%),cgo purego c $(TESTED_MODULES) $(PROVED))

# These programs in C and Rust run the catalogue with package scm in both test-cgo and test-purego, which may run as a user
# without compilers.
test-partners:
	@tools/setup -n test
	$(GO) run ./tools/buildpeers -partners

test-parts: export SCM_PARTNERS = $(CURDIR)/build/peers/partners.json
test-parts:
	@$(has_c) || unset SCM_PARTNERS; $(call at_once,test-cgo,test-purego test-c test-modules)

# go test starts the packages in this order. The first are the longest, so that none of them runs alone at the end.
test-cgo:
	@$(call with_c,cgo) $(part) cgo test ./interop ./cmd/scm ./interop/catalogue ./...

# The tests of these packages run programs that use pure Go on either backend, or show the same on either.
BOTH := cmd/scm|interop/catalogue|interoptest

# If there is a C compiler, test-cgo has already tested the packages that do not depend on the backend. An unprivileged
# user also runs the packages that inspect descriptors and processes, except for long tests to which the user makes no difference.
# go list -export compiles the packages into the caller's build cache, of which tools/as-user.sh makes a copy each time.
test-purego:
	@short=; which=.; not=; \
	if $(has_c); then \
		which='scm/internal/pure'; not='$(BOTH)'; \
		if [ -n "$(AS_USER)" ]; then short=-short; which='scm/(internal/(pure|procfs)|interop/reference)'; not=; fi; \
		echo "purego run: the packages that depend on the backend$${short:+, or inspect descriptors and processes}"; \
	fi; \
	packages=$$($(GO) list -tags scm_purego -test -f '{{.ImportPath}} {{.Deps}}' ./... | \
		awk -v which="$$which" -v not="/($$not)[.]test$$" '/^[^ ]*\.test / && $$0 ~ which && $$1 !~ not { sub(/\.test$$/, "", $$1); print $$1 }'); \
	[ -n "$$packages" ] || { echo "$@: no package matches"; exit 1; }; \
	if [ -n "$(AS_USER)" ]; then CGO_ENABLED=0 $(GO) list -trimpath -export -test -deps -tags scm_purego $$packages >/dev/null || :; fi; \
	$(AS_USER) $(part) purego test -tags scm_purego $$short $$packages

test-c check-c:
	@$(call with_c,c) $(part) c run $(SUBMAKE) csrc -j2 -Oline $(if $(filter check-c,$@),test,check)

test-modules:
	@red=; for m in $(TESTED_MODULES); do \
		if old=$$($(call too_old,$$m)); then \
			$(part) $$m skip "$$old" || red="$$red $$m"; continue; \
		fi; \
		echo "$$m: go test"; \
		$(part) $$m test -C $$m ./... || red="$$red $$m"; \
	done; [ -z "$$red" ] || { echo "$@:$$red"; exit 1; }

# These packages take too long to run before every commit.
LONG := cmd/scm|interop|interop/catalogue

check: ## minutes: run the quick parts of lint and test, as before a commit: Go, the library on both backends, C, the rules of the tree, both backends with the same random calls; print the totals; FAST=1 for less
	@echo "make check $(if $(FAST),FAST=1 leaves out the catalogue and pure Go,takes about three minutes and the first time more)"
	$(call judged,check-parts,lint $(if $(FAST),fast,cgo purego tree difftest) c)

# check-lint is last, because go vet needs the packages compiled, which the tests do.
check-parts:
	@$(call at_once,check-$(if $(FAST),fast,go),$(if $(FAST),,check-tree check-difftest) check-c check-lint)

library: ## minutes: run the tests of the library that need no other tools: Go and the same random calls on both backends, C plain and under sanitizers; print the totals
	$(call judged,check-go check-difftest test-c,cgo purego difftest c)

# The linters and the rules of the tree are in proof, which needs a newer Go than the library.
check-lint:
	@$(if $(FAST),,$(call with_proof,lint)) $(part) lint run $(MAKE) lint-$(if $(FAST),fast,go)

check-fast:
	@SCM_TEST_ALONE=1 $(part) fast test . -ginkgo.label-filter='!catalogue'

# Like test-purego, this tests interoptest on one backend.
check-go:
	@trap : INT; packages=$$($(GO) list ./... | grep -vxE '[^/]*/[^/]*/scm/($(LONG))'); \
	{ $(call with_c,cgo) $(part) cgo test $$packages; } & \
	! $(has_c) || packages="$(filter-out ./interoptest,$(LIBRARY)) ./internal/pure"; \
	$(part) purego test -tags scm_purego $$packages || red=purego; \
	{ wait $$! || wait $$!; } && [ -z "$${red-}" ]

check-tree:
	@$(call with_proof,tree) $(part) tree test -C proof ./repotest -ginkgo.label-filter=tree

check-difftest:
	@$(call with_proof,difftest) $(call with_c,difftest) $(part) difftest test -C proof ./difftest

# The jobs of CI on systems other than Debian, and the one with the oldest Go, run this. RUN is a regular expression for names
# of tests. make proof-bsd runs the same packages on NetBSD.
test-portable: ## minutes: run the tests that other systems have, with go test alone
	$(GO) test -timeout 30m $(LIBRARY) $(PORTABLE) -run '$(RUN)' | \
		awk '{ print; fflush() } /^ok / && !/no tests to run/ { ran = 1 } END { if (!ran) { print "no test passed"; exit 1 } }'
	$(GO) test -tags scm_purego . ./fdchannel -run '$(RUN)'

interop: setup-$(if $(filter all,$(PEERS)),test,interop) peers ## minutes: run every scenario between every pair of peers, and print why cases failed
	$(GO) build -o build/scm ./cmd/scm
	@mkdir -p build/interop; echo "This takes two minutes, and with PEERS=all ten."
	build/scm interop run --kernel --peers build/peers/peers.json $(if $(filter few,$(PAIRS)),--few-pairs) --report build/interop/report.json
	SCM_PEERS=$(CURDIR)/build/peers/peers.json $(GO) test ./interop/peers -count=1 -run TestBrokenLibraries

peers: ## minutes: build the peers into build/peers, and list those that could not be built
	$(GO) run ./tools/buildpeers -out build/peers

lib: ## seconds: build the C library (libscm_rights.a, libscm_rights.so, scm_rights.pc) into build/csrc
	$(SUBMAKE) csrc

# Compilers for other architectures are not needed for the two that this machine runs.
dist: setup-interop $(if $(filter-out amd64 386,$(or $(ARCH),all)),setup-machines) ## minutes: build what a release consists of into build/dist: static programs and peers, the C library's source, SBOMs, SHA256SUMS; ARCH="amd64 386" for only some
	tools/dist.sh $(ARCH)

lint: setup-lint lint-go lint-systems lint-modules lint-c lint-peers lint-shell lint-workflows ## minutes: run every linter; a missing one is an error

lint-gofmt:
	@unformatted=$$(gofmt -l $(call find,*.go)); [ -z "$$unformatted" ] || { echo "gofmt: $$unformatted"; exit 1; }

lint-fast: lint-gofmt
	$(GO) vet ./...

# go vet remembers what it has checked until its tool changes, so the tool must not contain the commit.
lint-tools:
	$(GO) build -C proof -buildvcs=false -o $(CURDIR)/build/lint/ ./vet honnef.co/go/tools/cmd/staticcheck github.com/rhysd/actionlint/cmd/actionlint

# With the tag scm_purego, the linters run again only on the packages whose files differ. The others differ only in a package
# that they import, which declares the same names.
lint-go: lint-gofmt lint-tools
	$(VETTOOL) ./...
	$(STATICCHECK) ./...
	packages=$$(for tags in cgo scm_purego; do \
		$(GO) list -tags $$tags -f '{{.ImportPath}} {{.GoFiles}} {{.CgoFiles}} {{.TestGoFiles}} {{.XTestGoFiles}}' ./...; \
	done | sort | uniq -u | sed 's/ .*//' | sort -u); \
	$(VETTOOL) -tags scm_purego $$packages; \
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
ARCHITECTURES = $(shell awk '!/^\#/ && $$1 !~ /^(amd64|mips)$$/ { print $$1 }' proof/target/targets.txt | sort -u)

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
		(cd $$m; $(VETTOOL) ./...; ! grep -qr --include='*.go' '^//go:build.*cgo' . || CGO_ENABLED=0 $(VETTOOL) ./...; \
		$(STATICCHECK) ./...; $(GO) mod tidy -diff); done

lint-c:
	$(SUBMAKE) csrc lint CI=true
	@mkdir -p build/lint
	for system in x86_64-netbsd x86_64-freebsd aarch64-macos; do for f in csrc/*.c; do \
		build/venv/bin/python-zig cc -target $$system -std=c99 -Wall -Wextra -pedantic -Werror -c -o build/lint/other.o $$f || exit; \
	done; done
	gcc -Wall -Wextra -pedantic -Wconversion -Werror -fsyntax-only $(C_FLAGS) $(C_FILES)
	clang -Wall -Wextra -pedantic -Wconversion -Werror -fsyntax-only $(C_FLAGS) $(C_FILES)
	clang-format --dry-run -Werror $(C_FILES) $(H_FILES)
	clang-tidy --quiet --warnings-as-errors='*' $(C_FILES) -- $(C_FLAGS)

# The languages of the peers, except C and Go, everywhere in the tree.
lint-peers:
	$(GO) run ./tools/buildpeers -lint

lint-shell:
	shellcheck $(SHELL_FILES)

# actionlint and zizmor check the workflows, and check-jsonschema the other files. build/lint/user is the repository of a user who
# copied the files of docs/ci. There, actionlint reads the inputs of the action from the link "scm", because it does not download actions.
lint-workflows: lint-tools
	rm -rf build/lint/user
	mkdir -p build/lint/user/.git build/lint/user/.github/workflows
	sed 's|scm-rights/scm@v.*|./scm|' docs/ci/github.yml >build/lint/user/.github/workflows/github.yml
	ln -s $(CURDIR) build/lint/user/scm
	$(ACTIONLINT) .github/workflows/*.yml
	cd build/lint/user; $(ACTIONLINT) .github/workflows/github.yml
	$(ZIZMOR) .github action.yml docs/ci/github.yml
	$(CHECK_JSONSCHEMA) --builtin-schema vendor.github-workflows .github/workflows/*.yml docs/ci/github.yml
	$(CHECK_JSONSCHEMA) --builtin-schema vendor.github-actions action.yml
	$(CHECK_JSONSCHEMA) --builtin-schema vendor.dependabot .github/dependabot.yml
	$(CHECK_JSONSCHEMA) --builtin-schema vendor.gitlab-ci --data-transform gitlab-ci docs/ci/gitlab.yml

fmt: setup-lint ## seconds: format the Go, C, Rust and Python
	gofmt -w $(call find,*.go)
	clang-format -i $(call find,*.c) $(call find,*.h)
	for manifest in $(call find,Cargo.toml); do cargo fmt --manifest-path $$manifest; done
	build/venv/bin/ruff format

# The proofs, which nothing imports.
proof-%:
	@$(MAKE) -C proof $*

clean: ## seconds: remove build/
	rm -rf build
