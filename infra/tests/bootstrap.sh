#!/usr/bin/env bash
# Tests bootstrap.sh without an AWS account. Fakes of terraform, aws and docker only record their calls. If FIELDSTATION names
# the server's binary, that server plays the deployed service.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
server_process=''
clean_up() {
    [ -z "$server_process" ] || kill "$server_process" 2>/dev/null
    rm -rf "$work"
}
trap clean_up EXIT

failures=0
ok() { printf 'ok    %s\n' "$1"; }
not_ok() {
    failures=$((failures + 1))
    printf 'FAIL  %s\n' "$1"
    sed 's/^/      /' "$work/out" "$work/err" | tail -n 20
}

# Only the programs that every machine has.
mkdir "$work/basics" "$work/fakes"
for program in base64 bash cat cmp curl cut date dirname env git grep gzip head id mktemp printf rm sed sleep tail tr wc; do
    ln -s "$(command -v "$program")" "$work/basics/$program"
done

fake() {
    printf '#!%s\nprintf "%%s %%s\\n" %s "$*" >>"%s/calls"\n%s\n' "$(command -v bash)" "$1" "$work" "$2" >"$work/fakes/$1"
    chmod +x "$work/fakes/$1"
}

# shellcheck disable=SC2016  # these run in the fakes
make_fakes() {
    fake terraform '
case "$*" in
    # The provider needs the password for every plan, even where the plan does not write it.
    *stacks/server\ apply*|*stacks/server\ plan*|*stacks/server\ destroy*)
        case ${TF_VAR_database_password:-none} in ????????????????????????*) ;; *) exit 9 ;; esac ;;
esac
case "$*" in
    *" output "*repository_url*) printf 123456789012.dkr.ecr.us-east-1.amazonaws.com/fieldstation-dev ;;
    *" output "*platform*) printf linux/arm64 ;;
    *" output "*url*) cat "$FAKE/url" ;;
    *" state list"*) printf "%s\n" "module.stores.aws_dynamodb_table.this[\"readings\"]" module.network.aws_vpc.this ;;
    *-target=*) ;;
    *" plan "*) echo "No changes." ;;
    *stacks/server\ apply*) [ ! -e "$FAKE/server-fails" ] || { echo "no capacity" >&2; exit 1; } ;;
esac'
    fake aws '
case "$*" in
    *get-caller-identity*) [ -e "$FAKE/no-credentials" ] && { echo "Unable to locate credentials" >&2; exit 253; }; echo 123456789012 ;;
    *head-bucket*) [ -e "$FAKE/bucket" ] ;;
    *create-bucket*) : >"$FAKE/bucket" ;;
    *describe-services*) echo arn:aws:ecs:us-east-1:123456789012:task-definition/fieldstation-dev:7 ;;
    *describe-task-definition*) printf "fieldstation-dev@sha256:%064d\n" 7 ;;
    *delete-secret*) rm "$FAKE/secret" ;;
    *head-object*) case "$*" in *server.tfstate*|*registry.tfstate*) [ -e "$FAKE/bucket" ] ;; *) exit 1 ;; esac ;;
    *describe-images*) [ -e "$FAKE/pushed" ] || exit 254; printf "sha256:%064d" 0 ;;
    *get-secret-value*) cat "$FAKE/secret" 2>/dev/null || exit 254 ;;
    *create-secret*) sed "s/.*SecretString\":\"\([^\"]*\).*/\1/" >"$FAKE/secret" ;;
    *get-random-password*) echo 0123456789012345678901234567890123456789 ;;
    *get-login-password*) echo token ;;
esac'
    fake docker '
case "$*" in
    *buildx*--push*) : >"$FAKE/pushed" ;;
    *login*) cat >/dev/null ;;
esac'
}

# run PATH ARGUMENT...: runs bootstrap.sh; writes the files out, err and calls, and sets $code.
script=bootstrap.sh
run() {
    local path=$1
    shift
    : >"$work/calls"
    FAKE=$work PATH=$path HOME=$work BOOTSTRAP_WAIT_SECONDS=3 "$root/$script" "$@" >"$work/out" 2>"$work/err" </dev/null
    code=$?
}

# expect NAME CODE TEXT: checks the exit code and the text on standard error.
expect() {
    if [ "$code" = "$2" ] && grep --quiet --fixed-strings -- "$3" "$work/err" "$work/out"; then ok "$1"; else not_ok "$1 (exit code $code, wanted $2 and: $3)"; fi
}
nothing_was_called() {
    if [ -s "$work/calls" ]; then
        not_ok "$1"
        sed 's/^/      called: /' "$work/calls"
    else ok "$1"; fi
}

# called_in_order NAME PATTERN...: checks that matching calls came in this order.
called_in_order() {
    local name=$1 line=0 at pattern
    shift
    for pattern in "$@"; do
        at=$(tail -n "+$((line + 1))" "$work/calls" | grep --line-number --max-count 1 -e "$pattern" | cut -d: -f1)
        if [ -z "$at" ]; then
            not_ok "$name: no call of $pattern in its place"
            sed 's/^/      called: /' "$work/calls"
            return
        fi
        line=$((line + at))
    done
    ok "$name"
}
never_called() {
    if grep --quiet -e "$2" "$work/calls"; then not_ok "$1"; else ok "$1"; fi
}

# --- Bad usage
basics=$work/basics
run "$basics"
expect "no action is bad usage" 2 "say what to do"
run "$basics" -a remove
expect "an unknown action is bad usage" 2 "not 'remove'"
run "$basics" -a create -e production
expect "an unknown environment is bad usage" 2 "not 'production'"
run "$basics" -a test -u localhost:5000
expect "a URL without a scheme is bad usage" 2 "http://"
run "$basics" -a test -u http://127.0.0.1:1 -f "$work/none"
expect "a file that is not there is bad usage" 2 "there is no file"
run "$basics" -a test -x
expect "an unknown option is bad usage" 2 "-x"
run "$basics" -a
expect "an option without its value is bad usage" 2 "-a needs a value"
run "$basics" -a test -u http://127.0.0.1:1 -i ''
expect "an empty device id is bad usage" 2 "empty"
run "$basics" -a create -u http://127.0.0.1:1
expect "a URL to create is bad usage" 2 "-u is for"
STACKS="registry moon" run "$basics" -a create
expect "an unknown stack is bad usage" 2 "moon"
run "$basics" -h
expect "there is help" 0 "Usage:"
run "$basics" -a test -u http://127.0.0.1:1
expect "a server that is not there fails the test" 1 "nothing answers"

# --- Missing programs are reported before any change
run "$basics" -a create
expect "everything that is missing is named: terraform" 2 "terraform: install it"
expect "everything that is missing is named: aws" 2 "aws: install it"
expect "everything that is missing is named: Docker" 2 "Docker: install it"
make_fakes
fakes=$work/fakes:$basics
touch "$work/no-credentials"
run "$fakes" -a create
expect "missing credentials are named" 2 "Unable to locate credentials"
never_called "nothing is made without credentials" '^terraform\|create-\|buildx'
run "$fakes" -a destroy -y
expect "missing credentials are named to destroy, too" 2 "Unable to locate credentials"
rm "$work/no-credentials"

# --- Creating
if [ -n "${FIELDSTATION:-}" ]; then
    "$FIELDSTATION" serve --listen 127.0.0.1:0 --data "$work/data" --log-format text >"$work/server" 2>&1 &
    server_process=$!
    for _ in {1..100}; do
        address=$(grep --only-matching '127\.0\.0\.1:[0-9]*' "$work/server" | head -n 1)
        [ -z "$address" ] || break
        sleep 0.1
    done
    printf 'http://%s' "$address" >"$work/url"
else
    printf 'http://127.0.0.1:1' >"$work/url"
fi
touch "$work/server-fails"
run "$fakes" -a create
expect "a stack that fails fails" 1 "no capacity"
called_in_order "the bucket of the state is first, private from the beginning" create-bucket put-public-access-block put-bucket-versioning \
    'stacks/registry init' 'stacks/registry apply' 'buildx build --platform linux/arm64' create-secret 'stacks/server apply'
never_called "the password is on no command line" 0123456789012345678901234567890123456789
rm "$work/server-fails"
run "$fakes" -a create
called_in_order "run again, it goes on to the end" 'stacks/registry apply' 'stacks/server apply.*-var=image=.*@sha256:0000'
never_called "run again, nothing is made twice" 'create-bucket\|buildx\|create-secret'
if [ -n "$server_process" ]; then
    expect "what was created passes its tests" 0 "0 failed"
    if [ "$(cat "$work/out")" = "$(cat "$work/url")" ]; then ok "the URL is the last and only output"; else not_ok "the URL is the last and only output"; fi
    run "$fakes" -a test -e dev
    expect "the environment's own URL is tested" 0 "0 failed"
else
    expect "what never becomes healthy fails" 1 "was not ready in time"
    printf 'left out: the functional test of what was created; name a binary in FIELDSTATION\n'
fi

# --- Single steps, for pipelines
script=infra/bootstrap/step.sh
run "$fakes" running-image dev
expect "the image that runs is told by its digest" 0 "fieldstation-dev@sha256:0000"
run "$fakes" plan dev
expect "a plan is made" 0 "No changes"
called_in_order "of what is there, with the image that runs" 'stacks/registry plan' 'stacks/server plan.*-var=image=fieldstation-dev@sha256:.*7$'
never_called "and changes nothing" ' apply\| destroy\|create-\|put-'
mv "$work/bucket" "$work/no-bucket"
run "$fakes" plan dev
expect "where nothing is there, the plan says so" 0 "not there yet"
mv "$work/no-bucket" "$work/bucket"
script=bootstrap.sh

# --- Terraform and aws from containers
mv "$work/fakes/terraform" "$work/terraform"
run "$fakes" -a test -e dev
called_in_order "Terraform runs from a container where it is not installed" 'docker run .*hashicorp/terraform:'
mv "$work/terraform" "$work/fakes/terraform"

# --- Destroying
run "$fakes" -a destroy -e dev
expect "destroying asks, and no answer is no" 1 "nothing was removed"
never_called "no answer removes nothing" ' destroy\|delete-'
run "$fakes" -a destroy -e prod -y
expect "production is never destroyed without an answer" 1 "nothing was removed"
run "$fakes" -a destroy -e dev -y
expect "destroying says that it is done" 0 "dev is gone"
called_in_order "what was created last goes first" 'stacks/server apply.*allow_removal=true.*-target=module.stores.aws_dynamodb_table' 'stacks/server destroy' \
    'stacks/registry destroy' delete-secret
if [ -e "$work/secret" ]; then not_ok "the password goes, too"; else ok "the password goes, too"; fi
never_called "what was never created is left alone" 'stacks/hosts\|stacks/delivery'
rm "$work/bucket"
run "$fakes" -a destroy -e dev -y
expect "destroying what is not there is done at once" 0 "nothing was created"

printf '%s\n' "$([ "$failures" -eq 0 ] && echo 'bootstrap.sh: all tests passed' || echo "bootstrap.sh: $failures tests failed")"
[ "$failures" -eq 0 ]
