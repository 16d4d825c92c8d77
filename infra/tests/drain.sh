#!/usr/bin/env bash
# Stops a server under load, and counts the outcome of each request: answered, refused (nothing was sent; a load balancer asks
# another server), or dropped (accepted and never answered). Fails when a request was dropped, or when there was no load.
#
#   infra/tests/drain.sh target/release/fieldstation                  # starts its own server
#   infra/tests/drain.sh http://127.0.0.1:5000 kill -TERM 1234
#   infra/tests/drain.sh http://127.0.0.1:5000 podman stop --time 30 server
set -euo pipefail
server=${1:?a binary, or the URL of a running server and how to stop it}
shift
work=$(mktemp -d)
workers=()
process=
clean_up() {
    [ ${#workers[@]} -eq 0 ] || kill "${workers[@]}" 2>/dev/null || true
    [ -z "$process" ] || kill "$process" 2>/dev/null || true
    rm -rf "$work"
}
trap clean_up EXIT

case $server in
    http://* | https://*)
        url=$server
        [ $# -gt 0 ] || { echo "drain.sh: say how the server is stopped" >&2; exit 2; }
        ;;
    *)
        "$server" serve --listen 127.0.0.1:0 --data "$work/data" --log-format text 2>"$work/log" &
        process=$!
        address=
        for _ in {1..100}; do
            address=$(grep --only-matching '127\.0\.0\.1:[0-9]*' "$work/log" | head -n 1 || true)
            [ -z "$address" ] || break
            sleep 0.1
        done
        [ -n "$address" ] || { cat "$work/log" >&2; exit 1; }
        url=http://$address
        set -- kill -TERM "$process"
        ;;
esac

# Each request has a connection of its own: the hard case, because some connections are always being opened.
worker() {
    local number=$1 at=0
    while [ ! -e "$work/stop" ] && [ "$at" -lt 100000 ]; do
        at=$((at + 1))
        curl --silent --max-time 40 --output /dev/null --write-out '%{exitcode} %{http_code} %{size_upload}\n' --request PUT \
            --json "{\"sensorId\":\"drain-$number-$$\",\"temperature\":1,\"timestamp\":\"$(printf '2026-01-%02dT%02d:%02d:%02d' $((at / 86400 + 1)) $((at / 3600 % 24)) $((at / 60 % 60)) $((at % 60)))\"}" \
            "$url/api/temperature" >>"$work/$number" || true
    done
}
for number in 1 2 3 4 5 6 7 8; do
    worker "$number" &
    workers+=($!)
done
sleep 3
before=$(cat "$work"/[0-9]* | wc -l)
"$@" >/dev/null
for _ in {1..300}; do
    # Until no server answers any more, and a moment longer.
    curl --silent --max-time 1 --output /dev/null "$url/livez" || break
    sleep 0.1
done
sleep 1
touch "$work/stop"
wait "${workers[@]}" || true
workers=()

answered=$(cat "$work"/[0-9]* | grep --count '^0 2' || true)
refused=$(cat "$work"/[0-9]* | grep --count '^7 ' || true)
others=$(cat "$work"/[0-9]* | grep --invert-match '^0 2\|^7 ' || true)
dropped=$(grep --count . <<<"$others" || true)
printf '%d requests before the stop; %d answered, %d refused, %d dropped\n' "$before" "$answered" "$refused" "$dropped"
if [ "$dropped" -gt 0 ]; then
    printf 'curl exit code, status, bytes sent of what was dropped:\n'
    sort <<<"$others" | uniq -c
fi
if [ -n "$process" ]; then
    code=0
    wait "$process" || code=$?
    process=
    [ "$code" -eq 0 ] || { printf 'the server ended with code %d\n' "$code"; exit 1; }
fi
# Fewer requests would be no load.
[ "$dropped" -eq 0 ] && [ "$before" -ge 50 ]
