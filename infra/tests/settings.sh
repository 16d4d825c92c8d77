#!/usr/bin/env bash
# Checks that image, compose files and Terraform agree with the server: names of settings, ports, commands, times.
#
#   infra/tests/settings.sh target/release/fieldstation
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
binary=${1:?name the binary}

failures=0
check() { # check NAME WANTED FOUND
    if [ "$2" = "$3" ]; then
        printf 'ok    %s: %s\n' "$1" "$3"
    else
        failures=$((failures + 1))
        printf 'FAIL  %s: wanted %s, found %s\n' "$1" "${2:-nothing}" "${3:-nothing}"
    fi
}
first() { sed -n "$1" "$2" | head -n 1; }

help=$(for command in serve healthcheck; do "$binary" "$command" --help; done)
deployed=(Dockerfile compose.yaml compose.embedded.yaml infra/modules/service/service.tf)
while read -r name; do
    check "a setting of the server" "$name" "$(grep --only-matching --max-count 1 "$name" <<<"$help" | head -n 1)"
done < <(grep --only-matching --no-filename 'FIELDSTATION_[A-Z_]*' "${deployed[@]}" | sort -u)
# All four stores: a store in the task itself would be lost with the task.
for store in READINGS FILES TODOS GREETING; do
    for file in compose.yaml infra/modules/service/service.tf; do
        check "$file sets" "FIELDSTATION_$store" "$(grep --only-matching "FIELDSTATION_$store" "$file" | head -n 1)"
    done
done

port=$(sed -n 's/.*default: 127\.0\.0\.1:\([0-9]*\).*/\1/p' <<<"$help" | head -n 1)
check "the port of the image" "$port" "$(first 's/^EXPOSE \([0-9]*\)$/\1/p' Dockerfile)"
check "the port that the image listens on" "0.0.0.0:$port" "$(first 's/.*FIELDSTATION_LISTEN=\([0-9.:]*\).*/\1/p' Dockerfile)"
check "the port of the health check" "http://127.0.0.1:$port" "$("$binary" healthcheck --help | grep --only-matching 'http://127\.0\.0\.1:[0-9]*' | head -n 1)"
for file in compose.yaml compose.embedded.yaml; do
    # shellcheck disable=SC2016  # compose's own variable
    check "the port of $file" "$port" "$(first 's/.*"127\.0\.0\.1:\${PORT:-[0-9]*}:\([0-9]*\)".*/\1/p' "$file")"
done
check "the port of the tasks" "$port" "$(first 's/^  port *= \([0-9]*\)$/\1/p' infra/stacks/server/main.tf)"

drain=$(grep --after-context 6 -e '--drain-seconds' <<<"$help" | sed -n 's/.*\[default: \([0-9]*\)\].*/\1/p' | head -n 1)
check "the time to drain of the tasks" "$drain" "$(sed -n '/^variable "drain_seconds"/,/^}/s/^  default *= \([0-9]*\)$/\1/p' infra/modules/service/variables.tf)"
for file in compose.yaml compose.embedded.yaml; do
    grace=$(first 's/.*stop_grace_period: \([0-9]*\)s.*/\1/p' "$file")
    check "$file waits for the drain" yes "$([ "${grace:-0}" -gt "${drain:-999}" ] && echo yes || echo "no, $grace s for $drain s")"
done

check "the tables are made by a command that there is" yes \
    "$("$binary" dynamodb create-tables --help >/dev/null 2>&1 && echo yes || echo no)"
rust=$(first 's/^channel = "\(.*\)"$/\1/p' rust-toolchain.toml)
check "the version of Rust in the image" "$rust" "$(first 's/^ARG RUST_IMAGE=rust:\([0-9.]*\)-.*/\1/p' Dockerfile)"
check "the version of Rust in the pipeline" "$rust" "$(first 's|.*library/rust:\([0-9.]*\)-.*|\1|p' infra/modules/delivery/main.tf)"
[ "$failures" -eq 0 ]
