# The commands people run, for https://just.systems. `just` lists them; each is one line that works without just, too.

# List the commands
default:
    @just --list

# Start the server on a throwaway data directory
run *arguments:
    cargo run -- serve --data target/data {{ arguments }}

# Compile and lint: seconds after a change
check:
    cargo fmt --check
    cargo clippy --locked --all-targets -- -D warnings
    .ci/imports.py

# Run all tests, or those with a word in their name
test *names:
    ./test.sh {{ names }}

# Run the quick build without the backends that live on other machines
embedded *names:
    cargo nextest run --no-default-features {{ names }}

# Run the gate: everything that must pass before a change goes in
gate:
    .ci/run

# Measure the server against its floors and peers
bench *arguments:
    cargo bench --bench server -- {{ arguments }}

# Fuzz one parser for a minute
fuzz target seconds="60":
    cargo fuzz run --sanitizer none {{ target }} -- -max_total_time={{ seconds }} -dict=fuzz/fields.dict

# Open the documentation of the code
doc:
    cargo doc --no-deps --document-private-items --open

# Kill, cut and flip as often as you like (tests/proofs.sh --help)
proofs *counts:
    tests/proofs.sh {{ counts }}
