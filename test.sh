#!/usr/bin/env bash
# Every test of the project: unit and integration tests, then the examples in the documentation.
#
#   ./test.sh                 all of them
#   ./test.sh late_reading    arguments go to the test runner: here, the tests with that in their name
#
# Needs a clone and Rust. The tests also need a C compiler, PostgreSQL, PgBouncer, Redis, Python, Java and npm: the script installs missing
# ones with apt if apt exists and the user may use it. Runs as any user, also as root. Apart from these packages it writes only below target/ and
# in temporary directories. Servers under test listen on the loopback interface only, except DynamoDB Local, which has no such setting.
# The exit code is 0 when everything passed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

say() { printf '\n== %s\n' "$*"; }
fail() { printf 'test.sh: %s\n' "$*" >&2; exit 1; }

# Installs system packages with apt. Fails where apt or the right to use it is missing; then the caller's message says what to install.
install_package() {
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null && sudo -n true 2>/dev/null || return 1
        as_root=(sudo)
    fi
    command -v apt-get >/dev/null || return 1
    say "Installing $* with apt-get"
    # On a bare machine the package lists may be stale or missing, so after a first failure they are fetched.
    "${as_root[@]}" apt-get install -y "$@" ||
        { "${as_root[@]}" apt-get update && "${as_root[@]}" apt-get install -y "$@"; }
}

# The tests start their own Redis. Where systemd would start the package's service, the service is masked first.
install_redis() {
    local as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo -n)
    local masked=
    if [ -d /run/systemd/system ] && "${as_root[@]}" systemctl mask redis-server.service; then masked=yes; fi
    local installed=0
    install_package redis-server || installed=1
    if [ -n "$masked" ]; then
        "${as_root[@]}" systemctl unmask redis-server.service
        "${as_root[@]}" systemctl disable redis-server.service || true # Not there when the installation failed.
    fi
    return "$installed"
}

if ! command -v cargo >/dev/null; then
    # The directory of rustup: a shell opened before the installation of Rust does not have it in PATH yet.
    PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    command -v cargo >/dev/null || fail "cargo is missing; install Rust (https://rustup.rs) and run this again"
fi
# SQLite and the TLS library are built from their C sources.
if ! command -v cc >/dev/null; then
    install_package build-essential || fail "a C compiler is missing; install one (Debian: apt-get install build-essential)"
fi
# The tests start their own PostgreSQL cluster, so the package must not create one.
install_postgresql() {
    local as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo -n)
    local settings=/etc/postgresql-common/createcluster.conf
    install_package postgresql-common || return 1
    if [ -f "$settings" ] && ! grep -q '^create_main_cluster' "$settings"; then
        printf 'create_main_cluster = false\n' | "${as_root[@]}" tee -a "$settings" >/dev/null
    fi
    install_package postgresql
}

# Todos are also tested behind PgBouncer. The tests start their own. Where systemd would start the package's service, the service is masked first.
install_pgbouncer() {
    local as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo -n)
    local masked=
    if [ -d /run/systemd/system ] && "${as_root[@]}" systemctl mask pgbouncer.service; then masked=yes; fi
    local installed=0
    install_package pgbouncer || installed=1
    if [ -n "$masked" ]; then
        "${as_root[@]}" systemctl unmask pgbouncer.service
        "${as_root[@]}" systemctl disable pgbouncer.service || true # Not there when the installation failed.
    fi
    return "$installed"
}

# Todos are tested on a real PostgreSQL, and the greeting on a real Redis (or Valkey). openssl creates the certificates for the tests with TLS.
if ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null && ! command -v initdb >/dev/null; then
    install_postgresql || fail "PostgreSQL is missing; install it (Debian: apt-get install postgresql)"
fi
if ! command -v pgbouncer >/dev/null && [ ! -x /usr/sbin/pgbouncer ]; then
    install_pgbouncer || fail "pgbouncer is missing; install it (Debian: apt-get install pgbouncer)"
fi
if ! command -v redis-server >/dev/null && ! command -v valkey-server >/dev/null; then
    install_redis || fail "redis-server is missing; install it (Debian: apt-get install redis-server)"
fi
if ! command -v openssl >/dev/null; then
    install_package openssl || fail "openssl is missing; install it (Debian: apt-get install openssl)"
fi
# python_program FOLDER PROGRAM PACKAGE: installs a Python package into a virtual environment below target/tools.
python_program() {
    local folder program=$2 package=$3
    mkdir -p target/tools
    # Installed programs contain the path of this folder, so the path is resolved: target/tools may be a link.
    folder=$(readlink -f target/tools)/$1
    if [ "$(cat "$folder/package" 2>/dev/null)" = "$package" ] &&
        [ -x "$(sed -n '1s/^#!//p' "$folder/bin/$program" 2>/dev/null)" ]; then
        return
    fi
    # On Debian, the module venv is a separate package.
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        install_package python3-venv || fail "python3 with its module venv is missing; install it (Debian: apt-get install python3-venv)"
    fi
    say "Installing $package for the tests (once)"
    python3 -m venv --clear "$folder"
    "$folder/bin/pip" install --quiet "$package"
    echo "$package" >"$folder/package"
}

# Files on S3 are tested on two servers with the S3 API. Each is stricter than the other in some respect: docs/contributing/test-servers.md.
command -v moto_server >/dev/null || python_program moto moto_server 'moto[s3,server]==5.2.1'
command -v ministack >/dev/null || python_program ministack ministack 'ministack==1.5.33'
rust_wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
rust_found=$(rustc --version) ||
    fail "the toolchain of rust-toolchain.toml cannot be used; try: rustup toolchain install"
say "Testing with $rust_found (Rust $rust_wanted or later is needed)"

# Installs dynoxide, a server with the DynamoDB API. It is built from source once, in about two minutes.
dynamodb_emulator() {
    local version=3.0.0 tools=$PWD/target/tools
    PATH="$tools/bin:$PATH"
    if [ ! -x "$tools/bin/dynoxide" ] || [ "$(cat "$tools/dynoxide.version" 2>/dev/null)" != "$version" ]; then
        say "Installing dynoxide $version, a DynamoDB emulator"
        # Only the features that the tests use, and settings for a quick build: half the time.
        CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=2 \
            cargo install --quiet --locked --force --no-default-features --features native-sqlite,http-server \
            --root "$tools" --target-dir "$tools/build" "dynoxide-rs@$version" ||
            fail "dynoxide, a DynamoDB emulator, cannot be installed; try: cargo install --locked dynoxide-rs@$version"
        rm -rf "$tools/build"
        echo "$version" >"$tools/dynoxide.version"
    fi
}
dynamodb_emulator

# Starts DynamoDB Local, Amazon's own emulator. It needs seconds to start, so all tests share one. It comes in an npm package and runs on Java.
dynamodb_local() {
    local version=2.9.30 folder=$PWD/target/tools/dynamodb-local
    if ! command -v java >/dev/null; then
        install_package default-jre-headless || fail "java is missing; install it (Debian: apt-get install default-jre-headless)"
    fi
    if [ "$(cat "$folder/version" 2>/dev/null)" != "$version" ]; then
        if ! command -v npm >/dev/null; then
            install_package npm || fail "npm is missing; install it (Debian: apt-get install npm)"
        fi
        say "Installing DynamoDB Local (once)"
        rm -rf "$folder"
        mkdir -p "$folder"
        # Only the package itself, without its dependencies.
        npm pack --silent --pack-destination "$folder" "amplify-dynamodb-simulator@$version" >/dev/null ||
            fail "DynamoDB Local cannot be installed; try: npm pack amplify-dynamodb-simulator@$version"
        tar -xzf "$folder"/*.tgz -C "$folder" --strip-components 1 package/emulator
        rm "$folder"/*.tgz
        echo "$version" >"$folder/version"
    fi
    local emulator=$folder/emulator port
    for _ in 1 2 3 4 5; do
        port=$((20000 + RANDOM % 12000))
        # DynamoDB Local exits when another process has the port.
        java "-Djava.library.path=$emulator/DynamoDBLocal_lib" -jar "$emulator/DynamoDBLocal.jar" \
            -inMemory -sharedDb -disableTelemetry -port "$port" >target/tools/dynamodb-local.log 2>&1 &
        dynamodb_local_pid=$!
        for _ in $(seq 600); do
            kill -0 "$dynamodb_local_pid" 2>/dev/null || break
            if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && sleep 0.2 && kill -0 "$dynamodb_local_pid" 2>/dev/null; then
                export FIELDSTATION_TEST_DYNAMODB_LOCAL=127.0.0.1:$port
                return
            fi
            sleep 0.1
        done
    done
    cat target/tools/dynamodb-local.log >&2
    fail "DynamoDB Local does not start"
}
dynamodb_local_pid=
stop_dynamodb_local() { [ -z "$dynamodb_local_pid" ] || kill "$dynamodb_local_pid" 2>/dev/null || true; }
trap stop_dynamodb_local EXIT
dynamodb_local
export PATH

# Many tests wait for a server or a time limit, so twice as many run at a time as there are cores.
export NEXTEST_TEST_THREADS=${NEXTEST_TEST_THREADS:-$((2 * $(getconf _NPROCESSORS_ONLN)))}
if cargo nextest --version >/dev/null 2>&1; then
    say "Unit and integration tests (cargo nextest)"
    cargo nextest run --locked "$@"
else
    say "Unit and integration tests (cargo test; 'cargo install --locked cargo-nextest' makes this faster)"
    cargo test --locked --no-fail-fast --lib --bins --tests "$@"
fi

if [ "$#" -eq 0 ]; then
    say "Examples in the documentation"
    cargo test --locked --doc
else
    say "Examples in the documentation are left out: only some tests were asked for"
fi
say "Passed"
