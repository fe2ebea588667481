# Short names for the commands that CONTRIBUTING.md explains; plain cargo does the same.

default:
    @just --list

# The toolchain that rust-toolchain.toml pins.
setup:
    rustup toolchain install

# The demo.
demo *args:
    cargo run --example onboarding -- {{args}}

# Everything that the README claims.
test:
    cargo test --workspace

# Formatting and lints, as CI has them.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# One of the examples: `just example order crash`, then `just example order`.
example name *args:
    cargo run --example {{name}} -- {{args}}

# What a dependency may be; asks for cargo-deny, and `.ci/budget` for cargo alone.
deny:
    bash .ci/budget
    cargo deny check

# Writes the texts of compile errors anew. Read every line of the difference before you commit it.
ui:
    TRYBUILD=overwrite cargo test --test ui

# The promises under faults, about ten times what CI does: ends with one table of all that was done, and a verdict.
prove scale="10" *args:
    cargo run --profile prove -p durable-laboratory --bin prove -- {{scale}} {{args}}

# The core's threads in so many random orders of each kind, and its counters in every order.
schedules count="10000":
    bash .ci/schedules {{count}}

# What the tests notice of a file that is changed in one place after the other (docs/mutants.md); asks for cargo-mutants.
mutants file *args:
    cargo mutants -p durable-core -f {{file}} --test-workspace=true {{args}}

# A fuzz target, `open` or `rows`, for so many seconds (fuzz/README.md); asks for cargo-fuzz and a C++ compiler.
fuzz target seconds="900":
    cargo fuzz run -s none {{target}} -- -max_total_time={{seconds}} -timeout=30 -max_len=49152

# What durability costs beside SQLite itself: the table of ratios. `just bench replay` prints one kind of line.
bench *lines:
    cargo bench --bench ratios -- {{lines}}

# What runs that wait cost: memory, idle CPU, and how late they are woken, for 10,000, 100,000 and 1,000,000 of them.
waiting *sizes:
    cargo bench --bench waiting -- {{sizes}}

# What the attributes cost at compile time: 300 steps and 30 workflows beside the same functions without them.
compile:
    cargo bench --bench compile

# The peers on the same work in the same run (benches/peers); `just peers replay` prints one kind of line.
peers *lines:
    cargo run --release --manifest-path benches/peers/Cargo.toml -- {{lines}}

# All that CI does.
ci:
    bash .ci/run
