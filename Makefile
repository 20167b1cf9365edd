# One verb a line; each sets up what it needs. Root on Debian and a Rust toolchain are all that has to be there.
.PHONY: setup demo test lint deny fmt bench fuzz manifests clean

# Backtraces of errors that a test expects or explains only hide what it says.
export RUST_BACKTRACE ?= 0

demo: setup ; cargo run --quiet --package crik-tests --bin demo
test: setup lint deny ; cargo test --workspace --locked --lib --bins --tests
bench: setup ; cargo run --quiet --release --package crik-tests --bin bench -- $(SIZES)
lint: ; cargo fmt --all --check && cargo clippy --workspace --all-targets --locked -- --deny warnings
deny: ; ./tests/cargo-deny.sh
fuzz: ; ./fuzz/run.sh $(SECONDS_EACH)
manifests: ; ./deploy/manifests.sh > deploy/controller.yaml.new && mv deploy/controller.yaml.new deploy/controller.yaml
fmt: ; cargo fmt --all
setup: ; @./tests/setup.sh
clean: ; cargo clean && rm -rf /var/cache/crik-tests
