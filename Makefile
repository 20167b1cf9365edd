# One verb a line; each sets up what it needs. Root on Debian, a Rust toolchain and Go (for the demo only where runc is older
# than 1.2) are all that has to be there.
.PHONY: setup tools demo test lint deny fmt bench bench-store bench-carry bench-controller bench-inject corpus e2e cluster-up cluster-down fuzz manifests values-schema signals-schema clean

# Backtraces of errors that a test expects or explains only hide what it says.
export RUST_BACKTRACE = 0
# Cargo would share make's few jobs with what runs beside it.
unexport MAKEFLAGS

# The fuzz targets have a lock file of their own, which a new dependency of the agent's would leave behind.
FUZZ_LOCK = cargo metadata --locked --quiet --format-version 1 --manifest-path fuzz/Cargo.toml > /dev/null

demo: setup ; cargo run --quiet --package crik-tests --bin demo
# What waits for the network beside what uses processors, and then two suites at a time. Cargo is run without a shell, so that who ends make
# ends the suites.
test: setup
	$(MAKE) --jobs=2 --output-sync tools lint deny
	cargo test --workspace --locked --quiet --test suites
bench: setup ; cargo run --quiet --release --package crik-tests --bin bench -- $(SIZES)
bench-store: setup ; cargo run --quiet --release --package crik-tests --bin bench_store -- $(SIZES) $(ROWS)
bench-carry: setup ; cargo run --quiet --release --package crik-tests --bin bench_carry
bench-inject: tools ; cargo run --quiet --release --package crik-tests --bin bench_inject
bench-controller: tools ; cargo run --quiet --release --package crik-tests --bin bench_controller -- $(NODES)
# All programs of the corpus, and what plain CRIU does with them, into docs/programs.md and the README; `make corpus ONLY="redis nginx"` prints
# some. What earlier runs tried with the same crik, or with the same CRIU, is taken from them; `make corpus ONLY=--afresh` tries all.
corpus: setup ; cargo run --quiet --package crik-tests --bin corpus -- $(ONLY)
e2e: tools ; cargo test --package crik-tests --test cluster -- --nocapture
cluster-up: tools ; cargo run --quiet --package crik-tests --bin cluster up
cluster-down: ; cargo run --quiet --package crik-tests --bin cluster down
lint: ; cargo fmt --all --check && cargo clippy --workspace --all-targets --locked -- --deny warnings && $(FUZZ_LOCK)
deny: ; ./tests/cargo-deny.sh
fuzz: ; ./fuzz/run.sh $(SECONDS_EACH)
manifests: tools ; ./deploy/manifests.sh > deploy/controller.yaml.new && mv deploy/controller.yaml.new deploy/controller.yaml
values-schema: tools ; cargo run --quiet --package crik-tests --bin values_schema
# When the types of a signals file have changed: writes docs/signals.schema.json anew.
signals-schema: ; CRIK_WRITE_SCHEMA=1 cargo test --quiet --package crik-controller signals::configured::schema
fmt: ; cargo fmt --all
setup: ; @./tests/setup.sh && ./tests/tools/runtime/runc.sh /var/cache/crik-tests > /dev/null
# The programs of a cluster: some minutes, once.
tools: setup ; @./tests/setup.sh go && ./tests/tools/build.sh /var/cache/crik-tests && ./tests/tools/runtime/build.sh /var/cache/crik-tests && ./tests/tools/kueue/build.sh /var/cache/crik-tests && ./tests/tools/schemathesis/install.sh /var/cache/crik-tests && ./tests/tools/moto/install.sh /var/cache/crik-tests && ./tests/tools/azurite/install.sh /var/cache/crik-tests
clean: ; cargo clean && rm -rf /var/cache/crik-tests
