# The targets for the library, the suite and the command, for GNU make. `make help` lists them and the variables below.
# The proofs have targets of their own: make proof-X makes X of proof/Makefile.
#
# The text after ## begins with the time that the target takes on two cores: seconds, minutes (up to a
# quarter of an hour) or tens of minutes. The first run takes longer, because it installs tools and
# compiles everything.
#
#   SETUP=0    do not install tools (tools/setup)
#   CI=true    treat a missing tool as an error, instead of skipping what needs it
#   PEERS=all  set up and run every peer in interop, instead of C, Rust and the languages that are installed
#   PEERS=few  the same, but run those that have few_pairs in interop/peers/*/language.json only with scm, the runner and themselves
#   ARCH=…     restrict dist to these architectures
#   SLOW=N     multiply the time limits of packages (20 minutes) and of some tests, on a slow or busy machine
#   JUNIT=build/junit  run the tests with gotestsum, which writes a file for each part to this folder of the tree
#   AS_USER=tools/as-user.sh  as root, run the pure-Go tests as an unprivileged user without a C compiler
#   GOTEST=…   the command that runs tests, instead of go test
#   GO=…       the go command
#   CC=…       the C compiler, as for go build. It must work. Without CC and a compiler in PATH, what needs one is skipped

# The parts of test, test-rest, check and check-fast. The table of the partners is printed early.
TEST_PARTS := test-catalogue-cgo test-catalogue-purego test-scm-cgo test-scm-purego test-csrc test-cgo test-purego test-difftest
REST_PARTS := rest-cgo rest-purego rest-servers rest-scmvet rest-tree
CHECK_PARTS := $(filter-out test-csrc,$(TEST_PARTS)) check-csrc check-rest rest-tree
PARTS := $(TEST_PARTS) $(REST_PARTS) $(CHECK_PARTS) check-scm

include tools/common.mk

PEERS ?=
$(if $(filter-out all few,$(PEERS)),$(error PEERS is $(PEERS); want all or few))
RUN ?=
KERNEL ?=
# Less garbage collection saves a quarter to a third of the time, and uses half as much memory again, at most 2 GB.
VET := GOGC=off GOMEMLIMIT=2GiB "$$ROOT/build/lint/vet"
# go vet compiles the packages, as the tests do, and remembers which it has checked.
VETTOOL = GOGC=400 $(GO) vet -vettool="$$ROOT/build/lint/vet"
STATICCHECK := GOGC=400 "$$ROOT/build/lint/staticcheck"
ACTIONLINT := "$$ROOT/build/lint/actionlint"
CHECK_JSONSCHEMA := build/venv/bin/check-jsonschema
ZIZMOR := build/venv/bin/zizmor --offline --quiet
LYCHEE := build/venv/bin/lychee --offline --include-fragments --no-progress
# What make test tests beside package scm: the library, and the internal packages that it uses.
TESTED = $(filter-out .,$(LIBRARY)) $(filter ./internal/%,$(call packages,$(GO) list -deps -tags=scm_purego $(has_tests) $(filter-out ./interoptest,$(LIBRARY))))
# The packages that take too long to test before every commit.
SLOW_TESTS := ./interop ./cmd/scm ./interop/catalogue
others = $$($(GO) list ./... | grep -vxFf <($(GO) list . ./internal/ccheck $(TESTED)))
quick = $$(grep -vxFf <($(GO) list $(SLOW_TESTS)) <<<"$(others)")
some = $(if $(AS_USER),,$(HAS_C))
PURE := github.com/scm-rights/scm/internal/pure
# Prints those of the packages that follow whose tests depend on internal/pure. As another user, or without C, prints all.
pure = $(if $(some),$(GO) list -e -test -tags=scm_purego \
	-f '{{range .Deps}}{{if eq . "$(PURE)" "$(PURE) [$(PURE).test]"}}{{$$.ForTest}}{{end}}{{end}}',echo)
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

# The parts of the tests, which these targets run, can be made alone too.
test: ## minutes: what a user wants to know: run the tests of the library on both backends, with partners in C and Rust, those of the C library plain and under sanitizers and valgrind, and both backends with the same random calls
	@[ "$(SETUP)" = 0 ] || tools/setup interop
	@$(GO) run ./tools/buildpeers -partners
	@$(with_partners) red=0; $(parts:exec=) $(TEST_PARTS) || red=$$?; tools/setup -n test; exit $$red

test-all: test test-rest ## minutes: make test and make test-rest

test-rest: ## minutes: what make test leaves out: run the tests of the suite, the command, the tools and the examples, and check the rules of the tree
	@$(parts) $(REST_PARTS)

check: check-parts check-lint ## minutes: run the quick parts of make test-all and make lint, as before a commit

check-parts:
	@$(parts) $(CHECK_PARTS)

check-lint:
	@$(call in,proof) $(MAKE) -C .. lint-go

check-fast: lint-fast ## seconds: gofmt, go vet, package scm without the catalogue on one backend, and the C library, as while you work
	@$(parts) check-scm check-csrc

# go test prints what a suite prints, even if it passes, only if it is given no package.
test-catalogue-purego:
	@echo "$@: package scm in pure Go runs the scenarios with programs in C and Rust: half a minute"
	@$(TEST_PURE) -run='^TestSuite$$' -ginkgo.label-filter=catalogue

test-scm-purego:
	@echo "$@: the other tests of package scm in pure Go: a minute"
	@$(TEST_PURE) -ginkgo.label-filter='!catalogue'

test-purego:
	@echo "$@: the other packages of the library in pure Go: a minute, or two the first time"
	@packages=$$($(pure) $(if $(some),$(filter-out ./interoptest,$(TESTED)),$(TESTED))); $(TEST_PURE) $${packages:?}

rest-purego:
	@echo "$@: the suite, the command and the examples in pure Go: a minute, or several without C or with AS_USER"
	@packages=$$($(pure) $(if $(some),$(quick),$(SLOW_TESTS) $$(grep -v /tools/ <<<"$(others)"))); $(TEST_PURE) $${packages:?}

rest-servers:
	@echo "$@: the example servers: half a minute"
	@$(call in,examples/servers) $(TEST) ./...

rest-scmvet:
	@echo "$@: scmvet: half a minute"
	@$(call in,cmd/scmvet) $(TEST) ./...

rest-tree:
	@echo "$@: the rules of the tree: a minute"
	@$(call in,proof) $(TEST) ./repotest -ginkgo.label-filter=tree

check-scm:
	@echo "$@: package scm without partners: half a minute"
	@export SCM_TEST_ALONE=1; $(TEST) -ginkgo.label-filter='!catalogue'

ifeq ($(HAS_C),)
test-catalogue-cgo test-scm-cgo test-cgo test-csrc test-difftest rest-cgo check-csrc check-rest: no-c
	@:
else
test-catalogue-cgo:
	@echo "$@: package scm over cgo runs the scenarios with programs in C and Rust: half a minute"
	@$(TEST) -run='^TestSuite$$' -ginkgo.label-filter=catalogue

test-scm-cgo:
	@echo "$@: the other tests of package scm over cgo: a minute"
	@$(TEST) -ginkgo.label-filter='!catalogue'

test-cgo:
	@echo "$@: the other packages of the library over cgo: a minute, or two the first time"
	@$(TEST) $(TESTED)

test-csrc:
	@echo "$@: the C library, plain and under sanitizers and valgrind: half a minute"
	@$(TEST) ./internal/ccheck

test-difftest:
	@echo "$@: the same random calls on both backends: a minute"
	@$(call in,proof) $(TEST) ./difftest

rest-cgo:
	@echo "$@: the suite, the command, the tools and the examples over cgo: three minutes"
	@$(TEST) $(SLOW_TESTS) $(others)

check-csrc:
	@echo "$@: the C library: seconds"
	@$(TEST) -short ./internal/ccheck

check-rest:
	@echo "$@: the quick tests of the suite, the command, the tools and the examples over cgo: a minute"
	@$(TEST) $(quick)
endif

# The jobs of CI on systems other than Debian, and the one with the oldest Go, run this. RUN is a regular expression for names
# of tests. make proof-bsd runs the same packages on NetBSD.
test-portable: ## minutes: run the tests that other systems have, with go test alone
	$(GO) test -timeout 30m $(LIBRARY) $(PORTABLE) -run '$(RUN)' | \
		awk '{ print; fflush() } /^ok / && !/no tests to run/ { ran = 1 } END { if (!ran) { print "no test passed"; exit 1 } }'
	$(GO) test -tags scm_purego . ./fdchannel -run '$(RUN)'

interop: setup-$(if $(filter all few,$(PEERS)),test,interop) peers ## minutes: run every scenario between every pair of peers, and print why cases failed
	$(GO) build -o build/scm ./cmd/scm
	@mkdir -p build/interop; echo "This takes two minutes, and with PEERS=all ten."
	build/scm interop run --kernel --peers build/peers/peers.json $(if $(filter few,$(PEERS)),--few-pairs) --report build/interop/report.json
	SCM_BUILT_PEERS="$$ROOT/build/peers/peers.json" $(GO) test ./interop/peers -count=1 -run TestBrokenLibraries

peers: ## minutes: build the peers into build/peers, and list those that could not be built
	$(GO) run ./tools/buildpeers -out build/peers

lib: ## seconds: build the C library (libscm_rights.a, libscm_rights.so, scm_rights.pc) into build/csrc
	$(SUBMAKE) csrc

# Compilers for other architectures are not needed for the two that this machine runs.
dist: setup-interop $(if $(filter-out amd64 386,$(or $(ARCH),all)),setup-machines) ## minutes: build what a release consists of into build/dist: static programs and peers, the C library's source, SBOMs, SHA256SUMS; ARCH="amd64 386" for only some
	tools/dist.sh $(ARCH)

lint: setup-lint lint-go lint-systems lint-modules lint-c lint-peers lint-shell lint-workflows lint-links ## minutes: run every linter; a missing one is an error

lint-gofmt:
	@unformatted=$$(gofmt -l $(call find,*.go)); [ -z "$$unformatted" ] || { echo "gofmt: $$unformatted"; exit 1; }

lint-fast: lint-gofmt
	$(GO) vet ./...

# go vet remembers what it has checked until its tool changes, so the tool must not contain the commit.
lint-tools:
	$(GO) build -C proof -buildvcs=false -o ../build/lint/ ./vet honnef.co/go/tools/cmd/staticcheck github.com/rhysd/actionlint/cmd/actionlint

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
	ln -s "$$ROOT" build/lint/user/scm
	$(ACTIONLINT) .github/workflows/*.yml
	cd build/lint/user; $(ACTIONLINT) .github/workflows/github.yml
	$(ZIZMOR) .github action.yml docs/ci/github.yml
	$(CHECK_JSONSCHEMA) --builtin-schema vendor.github-workflows .github/workflows/*.yml docs/ci/github.yml
	$(CHECK_JSONSCHEMA) --builtin-schema vendor.github-actions action.yml
	$(CHECK_JSONSCHEMA) --builtin-schema vendor.dependabot .github/dependabot.yml
	$(CHECK_JSONSCHEMA) --builtin-schema vendor.gitlab-ci --data-transform gitlab-ci docs/ci/gitlab.yml

# The links and anchors of the pages, and the pages and anchors that comments and messages name.
lint-links:
	@mkdir -p build/lint
	git grep --untracked -hoE '\bdocs/[a-z-]+\.md(#[[:alnum:]_-]+)?' -- ':!*.md' | sort -u | sed 's|.*|[&](../../&)|' >build/lint/named.md
	$(LYCHEE) build/lint/named.md $(call find,*.md)

fmt: setup-lint ## seconds: format the Go, C, Rust and Python
	gofmt -w $(call find,*.go)
	clang-format -i $(call find,*.c) $(call find,*.h)
	for manifest in $(call find,Cargo.toml); do cargo fmt --manifest-path $$manifest; done
	build/venv/bin/ruff format

# The proofs, which nothing imports.
proof-%:
	@$(MAKE) -C proof $* $(if $(KERNEL),KERNEL="$$(realpath -m "$$KERNEL" | sed 's/\$$/&&/g')")

clean: ## seconds: remove build/
	rm -rf build
