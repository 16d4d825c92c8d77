# shellcheck shell=bash
# The programs that bootstrap.sh needs, and containers for those that are not installed. Sourced by bootstrap.sh.

# shellcheck disable=SC2034,SC2154  # bootstrap.sh and stacks.sh share root, account and the functions

# The same versions as in CI.
terraform_image=hashicorp/terraform:1.11.4
aws_image=amazon/aws-cli:2.31.0

# need_tools NAME...: reports all missing programs at once, before any change.
need_tools() {
    local missing=() what
    for what in "$@"; do
        case $what in
            terraform | aws)
                command -v "$what" >/dev/null || docker_answers ||
                    missing+=("$what: install it, or Docker, from which it is run then") ;;
            docker)
                docker_answers || missing+=("Docker: install it and start its service; it builds the image") ;;
            # Credentials cannot be checked without this program.
            credentials) ;;
            *) command -v "$what" >/dev/null || missing+=("$what: install it") ;;
        esac
    done
    if [ ${#missing[@]} -eq 0 ] && [[ " $* " = *" credentials "* ]]; then
        local answer
        if answer=$(aws_cli sts get-caller-identity --query Account --output text 2>&1); then
            account=${answer##*$'\n'} # Warnings may come before it.
        else
            missing+=("credentials for AWS: $(tr -s '\n ' ' ' <<<"$answer")")
        fi
    fi
    [ ${#missing[@]} -eq 0 ] && return
    printf 'bootstrap.sh: nothing was done, because this is missing:\n' >&2
    printf '  %s\n' "${missing[@]}" >&2
    exit 2
}

docker_answers() { command -v docker >/dev/null && docker info >/dev/null 2>&1; }

# in_container IMAGE ARGUMENT...: runs with the repository at its own path and with the caller's credentials. Variables are passed by
# name only, so that a list of processes does not show their values.
in_container() {
    local image=$1 variable options=()
    shift
    for variable in $(compgen -e | grep -E '^(AWS_|TF_VAR_|TF_LOG|HTTPS?_PROXY|NO_PROXY)'); do options+=(--env "$variable"); done
    [ ! -d "$HOME/.aws" ] || options+=(--volume "$HOME/.aws:/credentials/.aws:ro")
    docker run --rm --interactive --user "$(id -u):$(id -g)" --env HOME=/credentials "${options[@]}" \
        --volume "$root:$root" --workdir "$root" "$image" "$@"
}

aws_cli() {
    if command -v aws >/dev/null; then
        AWS_PAGER='' aws --region "$(region)" "$@"
    else
        in_container "$aws_image" --region "$(region)" "$@"
    fi
}

terraform_in() {
    local stack=$1
    shift
    if command -v terraform >/dev/null; then
        terraform -chdir="$root/infra/stacks/$stack" "$@"
    else
        in_container "$terraform_image" -chdir="$root/infra/stacks/$stack" "$@"
    fi
}
