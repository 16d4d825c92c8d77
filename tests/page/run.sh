#!/usr/bin/env bash
# Starts a server with some readings, and checks its pages with check.mjs, which gets all arguments. To take the picture of
# the README again (FIELDSTATION_TEST_DATA names a file with the readings of a real machine):
#
#   FIELDSTATION_TEST_DATA=machine_temperature_system_failure.csv tests/page/run.sh --picture docs/front-page.png
#
# FIELDSTATION_BINARY names the binary (default: target/debug/fieldstation). FIELDSTATION_PAGE_CACHE names the directory for
# npm's packages (default: node_modules here).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
binary=${FIELDSTATION_BINARY:-$here/../../target/debug/fieldstation}
tools=${FIELDSTATION_PAGE_CACHE:-$here}
simulated=${FIELDSTATION_PAGE_SIMULATED:-5s}

command -v node >/dev/null || { echo "node is missing; install it (20 or later)" >&2; exit 1; }
if [ "$tools" != "$here" ]; then
    mkdir -p "$tools"
    cp "$here/package.json" "$here/check.mjs" "$tools/"
fi
(cd "$tools" && npm install --silent --no-audit --no-fund --no-package-lock)

data=$(mktemp -d)
touch "$data/log"
"$binary" serve --data "$data/server" --listen "${FIELDSTATION_PAGE_LISTEN:-127.0.0.1:0}" --log-format json 2>"$data/log" &
server=$!
trap 'kill "$server"; wait "$server" || true; rm -rf "$data"' EXIT
for _ in $(seq 200); do
    address=$(sed -n 's/.*"address":"\([^"]*\)".*/\1/p' "$data/log")
    [ -z "$address" ] || break
    sleep 0.1
done
[ -n "$address" ] || { cat "$data/log" >&2; exit 1; }

url=http://$address
node "$tools/check.mjs" "$url" # First without readings, as on the first day.
if [ -n "${FIELDSTATION_TEST_DATA:-}" ]; then
    "$binary" import "$FIELDSTATION_TEST_DATA" --sensor-id boiler-1 --url "$url" >/dev/null
fi
"$binary" simulate --sensors 12 --rate 24 --duration "$simulated" --seed 9 --prefix hall- --url "$url" >/dev/null
node "$tools/check.mjs" "$url" "$@"
# A greeting and a sensor id that try to break the page.
"$binary" simulate --sensors 1 --rate 5 --duration 1s --seed 1 --prefix '<b>&"long"-' --url "$url" >/dev/null
curl -fsS "$url/hello" --data-binary "$(printf 'W%.0s' $(seq 200))" >/dev/null
node "$tools/check.mjs" "$url" --lines
