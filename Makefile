# The two commands: `make demo` runs the main job, `make test` passes the tests. Both set up what they need first.

.PHONY: whole demo test test-runtime test-light cross setup setup-doom bench peers regress fuzz fixtures clean help

help:
	@echo "make demo      train a Humanoid-v5 agent, export it, run it in the simulator on the no_std runtime"
	@echo "make test      every test and house rule"
	@echo "make test-runtime   formatting, clippy and tests of core, runtime, capi, conformance and fixtures: no set-up, minutes"
	@echo "make test-light   the tests of a build without libtorch (SETUP=light is enough for them)"
	@echo "make cross     the conformance suite on emulated Arm, RISC-V and WebAssembly: the same digests everywhere"
	@echo "make bench     latency against the memory limit and against peers, tails, throughput; writes bench/record"
	@echo "make peers     only the same step in other libraries, checked and briefly timed"
	@echo "make regress BASE=commit [NEW=commit]   is the runtime slower than it was?"
	@echo "make fuzz      every fuzzer for SECONDS_EACH=600 seconds (nightly toolchain)"
	@echo "make fixtures  make the shipped agents anew (fixtures/data)"
	@echo "make setup     only install the pinned native libraries into third_party/; SETUP=light leaves libtorch out"
	@echo "make setup-doom   also install ViZDoom, for Take Cover (0.3 GB)"

setup:
	@bash scripts/setup.sh

setup-doom:
	@bash scripts/setup_doom.sh

# What trains V and M.
whole:
	@[ "$(SETUP)" != light ] || { echo "make $(MAKECMDGOALS): expected a set-up with libtorch, found SETUP=light" >&2; exit 1; }

demo: whole setup
	@bash scripts/demo.sh

test: whole setup
	@bash scripts/test.sh

test-runtime:
	@bash scripts/test.sh runtime

test-light: export SETUP = light
test-light: setup
	@bash scripts/test_light.sh --lib --test gymnasium_parity

cross:
	@bash scripts/cross.sh

bench:
	@bash scripts/bench.sh

peers:
	@bash scripts/peers.sh --quick

regress:
	@bash scripts/regress.sh $(BASE) $(NEW)

fuzz:
	@bash scripts/fuzz.sh

fixtures: whole setup
	@bash scripts/fixtures.sh

clean:
	rm -rf target runs third_party fuzz/target fuzz/work
