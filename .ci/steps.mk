# The steps of .ci/run, for GNU make, in the order in which they begin, with README's two commands first.
# build/ci/STEP.row says how a step ended, and build/ci/STEP has the results of its tests.
SHELL := bash
STEPS := pair proof-kernels test lint test-rest $(if $(KERNEL),proof-bsd) proof-test proof-systemd interop proof-cbmc \
	proof-release proof-bench
.PHONY: all setup $(STEPS)

all: $(STEPS)
$(STEPS): setup

setup $(STEPS): command = make $@
pair: command = go run ./examples/pair
# proof-survey reads the report of interop.
interop: command = make interop proof-survey

setup $(STEPS):
	@echo "== $(command)"; echo "$@ has not ended" >build/ci/$@.row
	@env -u MAKEFLAGS -u MAKELEVEL JUNIT=build/ci/$@ $(command) </dev/null && verdict=ok || verdict=FAILED; \
		printf '%-13s %6d s  %s\n' $@ $$SECONDS $$verdict >build/ci/$@.row
