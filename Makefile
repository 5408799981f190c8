# picket: two commands do everything on a fresh Debian machine: make run, make test.
SHELL := /bin/bash
BUILD ?= build
PREFIX ?= /usr
MESON_RELEASE = --buildtype=debugoptimized --prefix=$(PREFIX) --sysconfdir=/etc
MESON_ASAN = --buildtype=debug -Db_sanitize=address,undefined -Dfuzz=true
MESON_TSAN = --buildtype=debugoptimized -Db_sanitize=thread

.PHONY: compatibility run build test unit asan tsan system fuzz bench perf conformance conformance-faults durability metrics lint format install clean deps deps-test help

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

## make run          install what is missing, build, start a secure broker, say how to connect
run: build
	@scripts/run

## make build        build/picketd and build/picket
build: deps
	@test -f $(BUILD)/build.ninja || meson setup $(BUILD) $(MESON_RELEASE) >/dev/null
	@ninja -C $(BUILD) --quiet

## make test         everything that CI runs: lint, units with gcc and clang, sanitizers, fuzzers, system tests
test: deps-test
	@scripts/test

## make unit         the unit tests of the release build
unit: build
	@meson test -C $(BUILD) --print-errorlogs

## make asan         all unit tests and the simulator under ASan and UBSan (clang)
asan: deps-test
	@test -f $(BUILD)-asan/build.ninja || CC=clang meson setup $(BUILD)-asan $(MESON_ASAN) >/dev/null
	@ninja -C $(BUILD)-asan --quiet && meson test -C $(BUILD)-asan --print-errorlogs

## make tsan         the threaded parts under ThreadSanitizer (clang)
tsan: deps-test
	@test -f $(BUILD)-tsan/build.ninja || CC=clang meson setup $(BUILD)-tsan $(MESON_TSAN) >/dev/null
	@ninja -C $(BUILD)-tsan --quiet && meson test -C $(BUILD)-tsan --suite threads --print-errorlogs

## make system       real clients against the release build: interop, a browser, journeys, attacks, sandbox
system: build deps-test
	@/usr/bin/python3 -m pytest -q tests/system tests/conformance tests/interop tests/browser tests/attacks tests/sandbox tests/journeys tests/durability

## make fuzz         every fuzz target; SECONDS=600 each by default
fuzz: deps-test
	@test -f $(BUILD)-asan/build.ninja || CC=clang meson setup $(BUILD)-asan $(MESON_ASAN) >/dev/null
	@ninja -C $(BUILD)-asan --quiet && scripts/fuzz $(BUILD)-asan $(or $(SECONDS_EACH),600)

## make bench        CPU per message and memory beside Mosquitto and the floor, in one run
bench: build deps-test
	@/usr/bin/python3 tests/perf/compare.py

## make durability   hours of faults under load, power cut at every write, and docs/durability.md; PART=50 for a fiftieth
durability: build deps-test
	@PICKET_BUILD=$(abspath $(BUILD)) tests/durability/campaign.py --part $(or $(PART),1)

## make conformance  every numbered statement of MQTT 3.1.1 and 5.0: the vectors against the codec, then the table id, test, result
conformance: build deps-test
	@meson test -C $(BUILD) --suite conformance --print-errorlogs
	@CONFORMANCE_WAYS=$(or $(WAYS),all) PICKET_BUILD=$(abspath $(BUILD)) tests/conformance/report.py

## make conformance-faults  can those tests fail? each against a broker that breaks the rule, two hundred of them in one build
conformance-faults: build deps-test
	@tests/conformance/planted.py $(BUILD)-planted

## make compatibility  ask every client library again; writes docs/compatibility.md
compatibility: build deps-test
	@f=$$(mktemp) && PICKET_MATRIX=$$f PICKET_BUILD=$(abspath $(BUILD)) /usr/bin/python3 -m pytest -q tests/interop/test_matrix.py && tests/interop/compatibility.py $$f

## make metrics      the budgets of the code (file and function length, assertions, nesting)
metrics:
	@scripts/metrics

## make lint         metrics, layers, formatting, forbidden calls
lint: metrics
	@scripts/layers
	@scripts/forbidden
	@scripts/format --check
	@tests/conformance/planted.py --check

## make format       let clang-format decide the layout
format:
	@scripts/format

## make install      DESTDIR=… PREFIX=…
install: build
	@meson configure $(BUILD) --prefix=$(PREFIX) --sysconfdir=/etc >/dev/null && ninja -C $(BUILD) --quiet && DESTDIR=$(DESTDIR) meson install -C $(BUILD) --no-rebuild --quiet

deps:
	@scripts/deps build

deps-test:
	@scripts/deps build test

clean:
	@rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-tsan $(BUILD)-planted
