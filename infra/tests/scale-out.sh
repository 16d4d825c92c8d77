#!/usr/bin/env bash
# One server on all four stores that scale out, each a process on this machine: DynamoDB by dynoxide, S3 by moto, PostgreSQL, Redis
# (or Valkey); test.sh installs missing programs. Tests every route, and that the server itself keeps no data: a second server sees
# everything.
#
#   infra/tests/scale-out.sh target/release/fieldstation
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
binary=$(realpath "${1:?name the binary}")
work=$(mktemp -d)
chmod 755 "$work"
processes=()
clean_up() {
    local process
    for process in "${processes[@]}"; do kill "$process" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap clean_up EXIT
missing() {
    printf 'scale-out.sh: %s is missing; ./test.sh installs it, and so does: %s\n' "$1" "$2" >&2
    exit 2
}
# wait_for NAME COMMAND...: repeats the command until it succeeds, for at most a minute.
wait_for() {
    local name=$1
    shift
    for _ in {1..300}; do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.2
    done
    printf 'scale-out.sh: %s did not start:\n' "$name" >&2
    tail -n 20 "$work"/*.log >&2
    exit 1
}
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

PATH=$PWD/target/tools/bin:$PWD/target/tools/moto/bin:$PATH:$(printf "%s:" /usr/lib/postgresql/*/bin)
command -v initdb >/dev/null || missing PostgreSQL "apt-get install postgresql"
redis=$(command -v valkey-server || command -v redis-server) || missing "Valkey or Redis" "apt-get install redis-server"
command -v moto_server >/dev/null || missing "moto's server" "pip install 'moto[s3,server]'"
command -v dynoxide >/dev/null || missing dynoxide "cargo install --locked dynoxide-rs"

# PostgreSQL refuses to run as root.
as_nobody=()
postgres_data=$work/postgres
mkdir "$postgres_data"
if [ "$(id -u)" -eq 0 ]; then
    as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups env HOME="$postgres_data")
    chown 65534:65534 "$postgres_data"
fi
postgres_port=$(free_port) redis_port=$(free_port) moto_port=$(free_port) dynoxide_port=$(free_port)
printf 'fieldstation' >"$work/password"
chmod 644 "$work/password"
"${as_nobody[@]}" initdb --pgdata "$postgres_data/data" --username fieldstation --pwfile "$work/password" --auth scram-sha-256 >"$work/initdb.log"
"${as_nobody[@]}" postgres -D "$postgres_data/data" -p "$postgres_port" -c listen_addresses=127.0.0.1 \
    -c unix_socket_directories="$postgres_data" >"$work/postgres.log" 2>&1 &
processes+=($!)
mkdir "$work/redis"
"$redis" --bind 127.0.0.1 --port "$redis_port" --dir "$work/redis" --appendonly yes --appendfsync always >"$work/redis.log" 2>&1 &
processes+=($!)
moto_server -H 127.0.0.1 -p "$moto_port" >"$work/moto.log" 2>&1 &
processes+=($!)
dynoxide serve --log quiet --port "$dynoxide_port" >"$work/dynoxide.log" 2>&1 &
processes+=($!)

export AWS_ACCESS_KEY_ID=fieldstation AWS_SECRET_ACCESS_KEY=fieldstation AWS_REGION=us-east-1
endpoint=http://127.0.0.1:$moto_port
export FIELDSTATION_READINGS="dynamodb://fieldstation?region=us-east-1&endpoint=http://127.0.0.1:$dynoxide_port"
export FIELDSTATION_FILES="s3://fieldstation/devices?region=us-east-1&endpoint=$endpoint"
export FIELDSTATION_TODOS="postgres://fieldstation:fieldstation@127.0.0.1:$postgres_port/postgres"
export FIELDSTATION_GREETING="redis://127.0.0.1:$redis_port"
wait_for moto curl --silent --fail "$endpoint/moto-api/data.json"
wait_for PostgreSQL pg_isready --host 127.0.0.1 --port "$postgres_port"
wait_for dynoxide bash -c "exec 3<>/dev/tcp/127.0.0.1/$dynoxide_port"
wait_for Redis bash -c "exec 3<>/dev/tcp/127.0.0.1/$redis_port"
"$binary" dynamodb create-tables --readings "$FIELDSTATION_READINGS"
curl --silent --fail --output /dev/null --request PUT "$endpoint/fieldstation" --header 'Authorization: AWS4-HMAC-SHA256 Credential=fieldstation/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0'

# start NAME: starts a server with an empty data directory, and sets $url.
start() {
    "$binary" serve --listen 127.0.0.1:0 --data "$work/$1" --log-format text >"$work/$1.log" 2>&1 &
    processes+=($!)
    url=
    for _ in {1..100}; do
        url=$(grep --only-matching '127\.0\.0\.1:[0-9]* ' <(sed -n 's/.*listening.*address=\(127[0-9.:]*\).*/\1 /p' "$work/$1.log") | head -n 1 || true)
        [ -z "$url" ] || break
        sleep 0.1
    done
    [ -n "$url" ] || { cat "$work/$1.log" >&2; exit 1; }
    url=http://${url% }
}
start server
head -c 20000000 /dev/urandom >"$work/file"
./bootstrap.sh -a test -u "$url" -i 'barn 7/ü' -f "$work/file"
curl --silent --fail --request POST --header 'Content-Type: text/plain' --data-binary Replicas --output /dev/null "$url/hello"
stats=$(curl --silent --fail "$url/api/stats")

# The data directory is empty, and another server gives the same answers.
start replica
[ "$(curl --silent --fail "$url/hello")" = Replicas ]
[ "$(curl --silent --fail "$url/api/stats")" = "$stats" ]
curl --silent --fail --output "$work/download" "$url/api/devices/barn%207%2F%C3%BC/content"
cmp "$work/file" "$work/download"
databases=$(find "$work/server" "$work/replica" -name '*.db' 2>/dev/null || true)
[ -z "$databases" ] || { printf 'kept by the server itself:\n%s\n' "$databases"; exit 1; }
printf 'one server on all four, and another that sees the same: passed\n'
