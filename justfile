# One line each, over cargo. `just` lists them.

_default:
    @just --list --unsorted

# the main job on a private PostgreSQL and real data
demo:
    cargo run --release -- demo

# every test, against real PostgreSQL
test:
    cargo test --workspace

# the tests of the figures, of the feed and of frozen dates with user ids of type uuid, and of type text
test-user-ids:
    DAYFOLD_TEST_USER_ID=uuid cargo test -p worker --test tests -- figures:: changes:: frozen:: --skip demo_figures
    DAYFOLD_TEST_USER_ID=text cargo test -p worker --test tests -- figures:: changes:: frozen:: --skip demo_figures

# break the server in every way that docs/faults.md lists
faults:
    cargo test -p worker --test tests faults::

# the log of a night with four faults, as docs/night.md explains it
night:
    cargo test -p worker --test tests night -- --nocapture

# break everything at any moment, for `rounds` times `seconds`; a seed gives the same schedule again.
# Not optimised, so that the worker's own assertions and overflow checks watch, too.
chaos rounds="60" seconds="60" seed=`date +%s`:
    CHAOS_ROUNDS={{rounds}} CHAOS_SECONDS={{seconds}} CHAOS_SEED={{seed}} \
        cargo test -p worker --test tests chaos:: -- --nocapture

# the same for one process with many targets on two servers
chaos-targets targets="64" seconds="60":
    CHAOS_TARGETS={{targets}} CHAOS_SECONDS={{seconds}} cargo test -p worker --test tests targets::chaos -- --nocapture

# log-ins, statements, memory and processor time of idle targets in one process; --schemas 100 is ready sooner
idle-targets targets="1000" *arguments:
    cargo build --release -p worker -p bench
    target/release/bench idle --targets {{targets}} {{arguments}}

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

# lines, files, and the median and the longest function of each crate
lines:
    .ci/lines

# licences, sources and versions of the dependencies, and what is known against them
deny:
    .ci/deny

# the alert rules: each fires, and resolves
alerts:
    .ci/alerts

# long sentences and puzzling words of each document
prose *files:
    tools/prose {{files}}

# the crates' documentation
doc:
    cargo doc --workspace --no-deps --open

# many more cases in the property tests
thorough cases="2000":
    PROPTEST_CASES={{cases}} cargo test --workspace

# store very many hostile rows among good ones
hostile rows="100000" seed="1":
    HOSTILE_ROWS={{rows}} HOSTILE_SEED={{seed}} cargo test -p worker --test tests hostile::

# switch a health app with generated `users` and `days` over and back under load, and compare all figures with those of
# its own worker. `thin` 16 makes 9 raw rows a user and day, 3.4 million in all; 15 users take 0.1 GB of disk. 1 makes 66
adopt-year users="1000" days="365" thin="16":
    cargo build --release -p worker
    ADOPT_USERS={{users}} ADOPT_DAYS={{days}} ADOPT_THIN={{thin}} ADOPT_WORKER="$PWD/target/release/worker" \
        cargo test -p worker --test tests health_app::switch -- --nocapture

# look for what breaks a parser or a figure; needs a nightly toolchain and cargo-fuzz
fuzz target seconds="120":
    cargo +nightly fuzz run {{target}} -- -max_total_time={{seconds}}

# a small, fast binary for packages
dist:
    cargo build --profile dist

# how fast backlogs of four shapes are drained, beside one-shot SQL and the least that a group costs
bench *arguments:
    cargo build --release -p worker -p bench
    target/release/bench drain {{arguments}}

# the same for ten million rows; ten minutes or more, and 10 GB of disk
bench-huge:
    just bench --workload interleaved --rows 10000000 --workers 1 --alone --no-holds

# how fresh figures are, what idling costs, how several workers share a backlog
bench-service *arguments:
    cargo build --release -p worker -p bench
    target/release/bench {{arguments}}

# what the clients of an API feel of a drain beside it
bench-api *arguments:
    cargo build --release -p worker -p bench
    target/release/bench api {{arguments}}

# the server time of each view of the operator's page, at a million queued rows and 100,000 failures
bench-page *arguments:
    cargo build --release -p worker -p bench
    target/release/bench page {{arguments}}

# how fast verify and backfill are, and whether verify finds every damage
bench-verify *arguments:
    cargo build --release -p worker -p bench
    target/release/bench verify {{arguments}}

# how fast one process drains the same rows in 1, 2, 8 and 64 targets on one server; --servers 2 spreads them
bench-targets *arguments:
    cargo build --release -p worker -p bench
    target/release/bench targets {{arguments}}

# the server's processor time for casting ids of users to their domain, beside ids of type bigint
bench-user-ids *arguments:
    cargo build --release -p worker -p bench
    target/release/bench user-ids {{arguments}}

# how long questions to the weekly and monthly views take, at a million days of vitals
bench-periods *arguments:
    cargo build --release -p worker -p bench
    target/release/bench periods {{arguments}}

# how much time and memory dates take that have more rows than any person
bench-hostile *arguments:
    cargo build --release -p worker -p bench
    target/release/bench hostile {{arguments}}

# the Debian package, in target/debian
deb:
    packaging/build-deb

# the README's picture of a report, from the demo's data; needs Chromium
picture:
    docs/pictures/make

# the pictures of docs/page.md, from the tests in the browser; needs chromium and chromium-driver
page-pictures:
    DAYFOLD_PICTURES="$PWD/docs/pictures" cargo test -p worker --test tests page::browser
