# One line each, over cargo. `just` lists them.

_default:
    @just --list --unsorted

# the main job on a private PostgreSQL and real data
demo:
    cargo run --release -- demo

# every test, against real PostgreSQL
test:
    cargo test --workspace

# break the server in every way that docs/faults.md lists
faults:
    cargo test -p worker --test tests faults::

# the model of the queue in larger sizes than those of the tests
model:
    cargo run --release -p model --example explore

# what every change must pass
ci:
    .ci/run

# format everything
fmt:
    cargo fmt

# every lint, as errors
lint:
    cargo clippy --workspace --all-targets -- -D warnings

# licences, sources and versions of the dependencies, and what is known against them
deny:
    .ci/deny

# the crates' documentation
doc:
    cargo doc --workspace --no-deps --open

# many more cases in the property tests
thorough cases="2000":
    PROPTEST_CASES={{cases}} cargo test --workspace

# a small, fast binary for packages
dist:
    cargo build --profile dist

# how fresh figures are, what idling costs, how several workers share a backlog
bench-service *arguments:
    cargo build --release -p worker -p bench
    target/release/bench {{arguments}}

# what the clients of an API feel of a drain beside it
bench-api *arguments:
    cargo build --release -p worker -p bench
    target/release/bench api {{arguments}}

# the Debian package, in target/debian
deb:
    packaging/build-deb
