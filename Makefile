# Aegis: thin wrapper around CMake. `make help` lists the targets.
BUILD   ?= build
TYPE    ?= RelWithDebInfo
PREFIX  ?= /usr/local
DEMO    ?= demo-data
JOBS    ?= $(shell nproc)
CTEST_ARGS ?=
ONLY    ?=
CDK_ARGS ?=
FUZZ_SECONDS ?= 60
CMAKE   = cmake -G Ninja -DCMAKE_INSTALL_PREFIX=$(PREFIX)

.PHONY: all help demo serve test check asan tsan fuzz bench lint format docs lambda synth deploy install clean

all: deps-build ## build the release binary, build/aegis
	@$(CMAKE) -S . -B $(BUILD) -DCMAKE_BUILD_TYPE=$(TYPE) -DBUILD_TESTING=OFF >/dev/null
	@cmake --build $(BUILD) -j $(JOBS) --target aegis

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: deps-build deps-demo deps-test deps-bench deps-lint deps-lambda
deps-build deps-demo deps-test deps-bench deps-lint deps-lambda: deps-%:
	@scripts/dependencies.sh $*

demo: deps-demo all ## the main job on the samples, or on FILES="..."; exits 0
	@AEGIS=$(BUILD)/aegis DEMO_DATA=$(DEMO) scripts/demo.sh $(FILES)

serve: all ## work through the queue of the default data directory until stopped
	@$(BUILD)/aegis serve

test: deps-test ## build and run all tests
	@$(CMAKE) -S . -B $(BUILD) -DCMAKE_BUILD_TYPE=$(TYPE) -DBUILD_TESTING=ON >/dev/null
	@cmake --build $(BUILD) -j $(JOBS)
	@ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS) $(CTEST_ARGS)

asan: deps-test ## the same tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@$(CMAKE) -S . -B build-asan -DCMAKE_BUILD_TYPE=Debug -DAEGIS_SANITIZE=address,undefined >/dev/null
	@cmake --build build-asan -j $(JOBS)
	@ctest --test-dir build-asan --output-on-failure -j $(JOBS) $(CTEST_ARGS)

tsan: deps-test ## the same tests under ThreadSanitizer
	@$(CMAKE) -S . -B build-tsan -DCMAKE_BUILD_TYPE=Debug -DAEGIS_SANITIZE=thread >/dev/null
	@cmake --build build-tsan -j $(JOBS)
	@ctest --test-dir build-tsan --output-on-failure -j $(JOBS) $(CTEST_ARGS)

check: test asan tsan lint ## everything a change has to pass

fuzz: deps-lint ## run every fuzz target for FUZZ_SECONDS (60) each
	@CC=clang $(CMAKE) -S . -B build-fuzz -DCMAKE_BUILD_TYPE=Debug -DAEGIS_FUZZ=ON \
		-DAEGIS_SANITIZE=address,undefined -DBUILD_TESTING=ON >/dev/null
	@cmake --build build-fuzz -j $(JOBS) --target fuzz_programs
	@tests/fuzz/run.sh build-fuzz $(FUZZ_SECONDS)

bench: deps-bench ## measure against the peers; ONLY=row runs one row
	@$(CMAKE) -S . -B $(BUILD) -DCMAKE_BUILD_TYPE=$(TYPE) -DBUILD_TESTING=ON >/dev/null
	@cmake --build $(BUILD) -j $(JOBS) --target aegis
	@cmake --build $(BUILD) -j $(JOBS) --target bench_programs fake_openai
	@AEGIS=$(BUILD)/aegis BUILD=$(BUILD) bench/run $(ONLY)

lint: deps-lint ## formatting, banned functions, cppcheck, clang-tidy
	@CC=clang $(CMAKE) -S . -B build-lint -DBUILD_TESTING=OFF >/dev/null
	@scripts/lint.sh build-lint

format: deps-lint ## reformat the C sources
	@git ls-files '*.c' '*.h' ':!third_party' | xargs clang-format -i

docs: all ## write docs/cli.md and docs/configuration.md anew, as the program prints them
	@cmake --build $(BUILD) --target docs

lambda: deps-lambda all ## pack the functions of docs/lambda.md, dist/aegis-lambda.zip, and their layer
	@scripts/lambda-zip.sh $(BUILD)/aegis dist

synth: ## print the CloudFormation templates of docs/aws.md; CDK_ARGS="-c natGateways=2"
	@scripts/infrastructure.sh synth $(CDK_ARGS)

deploy: ## deploy these stacks to the AWS account of the environment
	@scripts/infrastructure.sh deploy $(CDK_ARGS)

install: all ## install the binary, man pages, completion and systemd units under PREFIX
	@cmake --install $(BUILD) --prefix $(PREFIX)

clean: ## remove what was built
	@rm -rf build build-asan build-tsan build-fuzz build-lint dist
