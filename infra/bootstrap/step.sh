#!/usr/bin/env bash
# Single steps of bootstrap.sh, for pipelines.
#
#   infra/bootstrap/step.sh running-image ENVIRONMENT    the running image, REPOSITORY@sha256:…, or nothing
#   infra/bootstrap/step.sh plan ENVIRONMENT             shows what `create` would change
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck disable=SC2034  # the parts below use it
environment=${2:?the environment}

say() { printf '\n== %s\n' "$*" >&2; }
fail() {
    printf 'step.sh: %s\n' "$1" >&2
    exit "${2:-1}"
}
# shellcheck source=infra/bootstrap/tools.sh
. "$root/infra/bootstrap/tools.sh"
# shellcheck source=infra/bootstrap/stacks.sh
. "$root/infra/bootstrap/stacks.sh"

need_tools terraform aws credentials
case $1 in
    running-image) running_image ;;
    plan) for stack in registry server; do plan "$stack"; done ;;
    *) fail "there is no step '$1'" 2 ;;
esac
