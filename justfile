# Short names for the commands that CONTRIBUTING.md explains; plain cargo does the same.

default:
    @just --list

# The demo.
demo *args:
    cargo run --example onboarding -- {{args}}

# Everything that the README claims.
test:
    cargo test --workspace

# Formatting, lints and docs, as CI has them.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# Writes the texts of compile errors anew. Read every line of the difference before you commit it.
ui:
    TRYBUILD=overwrite cargo test --test ui

# All that CI does.
ci:
    bash .ci/run
