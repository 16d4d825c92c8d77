#!/usr/bin/env bash
# Creates, tests and destroys an environment on AWS.
set -euo pipefail

usage() {
    cat <<'END'
Usage: ./bootstrap.sh -a create|test|destroy [-e dev|staging|prod] [-i DEVICE_ID] [-f FILE] [-u URL] [-y] [-h]

  -a create    create the state bucket, apply the stacks, build and push the image, wait until the server is healthy, test it, print its URL
  -a test      upload FILE under DEVICE_ID, compare the download, and use every route of the server
  -a destroy   remove the whole environment, after asking

  -e ENV       the environment: dev (the default), staging or prod
  -i ID        the device id that the test uploads under (default: bootstrap-probe)
  -f FILE      the file that the test uploads (default: 100 kB of random bytes)
  -u URL       test this server instead of the environment's, such as http://127.0.0.1:5000
  -y           do not ask before destroying (never for prod)
  -h           this text

Variables:
  STACKS       the stacks to create, in this order (default: "registry server"; optional: delivery, hosts), or to destroy
               (default: all existing ones)
  IMAGE        create: deploy this image, REPOSITORY@sha256:…, instead of building one

`create` and `destroy` may be repeated after a failure at any step: completed steps are not repeated. Both need AWS credentials
in any form that the AWS command line accepts, and Docker for building the image. Terraform and the AWS command line run in
containers if they are not installed.

Exit codes: 0 done; 1 a step or a test failed; 2 wrong usage, or a required program or credential is missing.
END
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

say() { printf '\n== %s\n' "$*" >&2; }
fail() {
    printf 'bootstrap.sh: %s\n' "$1" >&2
    exit "${2:-1}"
}
bad_usage() { fail "$1; ./bootstrap.sh -h explains" 2; }

if [ -z "${BASH_VERSINFO:-}" ] || [ "${BASH_VERSINFO[0]}${BASH_VERSINFO[1]}" -lt 44 ]; then
    fail "bash 4.4 or later is needed, this is ${BASH_VERSION:-another shell}" 2
fi

# shellcheck source=infra/bootstrap/tools.sh
. "$root/infra/bootstrap/tools.sh"
# shellcheck source=infra/bootstrap/stacks.sh
. "$root/infra/bootstrap/stacks.sh"
# shellcheck source=infra/bootstrap/test.sh
. "$root/infra/bootstrap/test.sh"

action='' environment='' device=bootstrap-probe file='' url='' assume_yes=no
while getopts ':a:e:i:f:u:yh' option; do
    case $option in
        a) action=$OPTARG ;;
        e) environment=$OPTARG ;;
        i) device=$OPTARG ;;
        f) file=$OPTARG ;;
        u) url=$OPTARG ;;
        y) assume_yes=yes ;;
        h) usage; exit 0 ;;
        :) bad_usage "-$OPTARG needs a value" ;;
        *) bad_usage "there is no option -$OPTARG" ;;
    esac
done
shift $((OPTIND - 1))
[ $# -eq 0 ] || bad_usage "'$1' is not an option"
case $action in
    create | test | destroy) ;;
    '') bad_usage "say what to do with -a create, -a test or -a destroy" ;;
    *) bad_usage "-a is create, test or destroy, not '$action'" ;;
esac
case ${environment:=dev} in
    dev | staging | prod) ;;
    *) bad_usage "-e is dev, staging or prod, not '$environment'" ;;
esac
[ -n "$device" ] || bad_usage "the device id after -i is empty"
if [ -n "$file" ]; then
    [ -f "$file" ] && [ -r "$file" ] || bad_usage "-f: there is no file '$file' that can be read"
fi
case $url in
    '' | http://?* | https://?*) ;;
    *) bad_usage "-u begins with http:// or https://, not '$url'" ;;
esac
stacks_asked_for=${STACKS:-}
for stack in ${STACKS:=registry server}; do
    [ -d "$root/infra/stacks/$stack" ] || bad_usage "STACKS: there is no stack '$stack'"
done

case $action in
    create)
        [ -z "$url" ] || bad_usage "-u is for -a test"
        create
        ;;
    test)
        if [ -z "$url" ]; then
            need_tools curl terraform aws credentials
            url=$(environment_url) || fail "the environment $environment has no URL: create it first, or give one with -u"
        else
            need_tools curl
        fi
        run_tests "$url" "$device" "$file"
        ;;
    destroy)
        [ -z "$url" ] || bad_usage "-u is for -a test"
        destroy
        ;;
esac
