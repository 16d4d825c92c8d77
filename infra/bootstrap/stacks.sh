# shellcheck shell=bash
# Creates and destroys an environment. Every step checks the current state before it acts, so it can be repeated. Sourced by
# bootstrap.sh.

# shellcheck disable=SC2154  # root, environment, account, assume_yes and the functions come from bootstrap.sh and tools.sh

region() { sed -n 's/^region *= *"\(.*\)"$/\1/p' "$root/infra/environments/$environment.s3.tfbackend"; }
state_bucket() { printf 'fieldstation-terraform-%s-%s' "$account" "$(region)"; }

# --- The bucket of the state, which Terraform cannot create for itself

create_state_bucket() {
    local bucket
    bucket=$(state_bucket)
    say "The bucket of the state: $bucket"
    if ! aws_cli s3api head-bucket --bucket "$bucket" --expected-bucket-owner "$account" >/dev/null 2>&1; then
        # In us-east-1, AWS rejects a request that names the region.
        local location=()
        [ "$(region)" = us-east-1 ] || location=(--create-bucket-configuration "LocationConstraint=$(region)")
        aws_cli s3api create-bucket --bucket "$bucket" "${location[@]}" >/dev/null
        aws_cli s3api wait bucket-exists --bucket "$bucket"
    fi
    # Also for an existing bucket: an earlier run may have been cut off in between.
    aws_cli s3api put-public-access-block --bucket "$bucket" --public-access-block-configuration \
        BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true
    aws_cli s3api put-bucket-versioning --bucket "$bucket" --versioning-configuration Status=Enabled
    aws_cli s3api put-bucket-policy --bucket "$bucket" --policy "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Sid\":\"TlsOnly\",
        \"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":\"s3:*\",\"Condition\":{\"Bool\":{\"aws:SecureTransport\":\"false\"}},
        \"Resource\":[\"arn:aws:s3:::$bucket\",\"arn:aws:s3:::$bucket/*\"]}]}"
    aws_cli s3api put-bucket-lifecycle-configuration --bucket "$bucket" --lifecycle-configuration \
        '{"Rules":[{"ID":"old-versions","Status":"Enabled","Filter":{},"NoncurrentVersionExpiration":{"NoncurrentDays":90}}]}'
}

# --- Stacks

state_key() { printf 'fieldstation/%s/%s.tfstate' "$environment" "$1"; }

initialize() {
    terraform_in "$1" init -input=false -no-color -reconfigure "-backend-config=$root/infra/environments/$environment.s3.tfbackend" \
        "-backend-config=bucket=$(state_bucket)" "-backend-config=key=$(state_key "$1")" >&2
}

apply() {
    local stack=$1
    shift
    say "Applying $stack in $environment"
    initialize "$stack"
    terraform_in "$stack" apply -input=false -no-color -auto-approve "-var-file=$environment.tfvars" "$@" >&2
}

# Before the first creation there is nothing to compare with.
plan() {
    local stack=$1 options=()
    if ! aws_cli s3api head-object --bucket "$(state_bucket)" --key "$(state_key "$stack")" >/dev/null 2>&1; then
        printf 'The stack %s of %s is not there yet; all of it will be created.\n' "$stack" "$environment"
        return
    fi
    initialize "$stack"
    if [ "$stack" = server ]; then
        TF_VAR_database_password=$(database_password) || fail "the secret $(database_password_secret) cannot be read"
        export TF_VAR_database_password
    fi
    # The plan uses the running image: the next image depends on the commit, not on the plan.
    if [ "$stack" = server ]; then options=("-var=image=$(running_image)"); fi
    terraform_in "$stack" plan -input=false -no-color -lock=false "-var-file=$environment.tfvars" "${options[@]}"
}

running_image() {
    local name=fieldstation-$environment definition
    definition=$(aws_cli ecs describe-services --cluster "$name" --services "$name" --query 'services[0].taskDefinition' \
        --output text 2>/dev/null) || return 0
    case $definition in
        arn:*) aws_cli ecs describe-task-definition --task-definition "$definition" \
            --query 'taskDefinition.containerDefinitions[0].image' --output text ;;
    esac
}

output() { terraform_in "$1" output -raw -no-color "$2"; }

# The database password is in a secret of its own, created before the database, so a run after an interruption finds it
# again. Terraform gets the password in an ephemeral variable, which neither state nor plan contains.
database_password_secret() { printf 'fieldstation-%s/database-password' "$environment"; }

database_password() {
    aws_cli secretsmanager get-secret-value --secret-id "$(database_password_secret)" --query SecretString --output text 2>/dev/null
}

export_database_password() {
    local secret password
    secret=$(database_password_secret)
    if ! password=$(database_password); then
        say "A password for the database, in the secret $secret"
        password=$(aws_cli secretsmanager get-random-password --exclude-punctuation --password-length 40 \
            --query RandomPassword --output text)
        # On standard input, because a list of processes shows arguments.
        printf '{"Name":"%s","SecretString":"%s"}' "$secret" "$password" |
            aws_cli secretsmanager create-secret --cli-input-json file:///dev/stdin >/dev/null
    fi
    export TF_VAR_database_password=$password
}

# --- The image

# The tag of the image: the commit, and a hash of local changes.
image_tag() {
    local commit changes
    commit=$(git -C "$root" rev-parse --short=12 HEAD)
    changes=$(git -C "$root" status --porcelain -- Dockerfile Cargo.toml Cargo.lock src migrations infra/certificates)
    if [ -n "$changes" ]; then commit+=-changed-$(date -u +%Y%m%d%H%M%S); fi
    printf '%s' "$commit"
}

image_digest() {
    aws_cli ecr describe-images --repository-name "$1" --image-ids "imageTag=$2" --query 'imageDetails[0].imageDigest' \
        --output text 2>/dev/null
}

# Sets $image to REPOSITORY@sha256:…, because a digest always names the tested image.
build_and_push() {
    local repository=$1 platform=$2 tag digest name
    name=${repository#*/}
    tag=$(image_tag)
    if ! digest=$(image_digest "$name" "$tag"); then
        say "Building and pushing $repository:$tag for $platform"
        aws_cli ecr get-login-password | docker login --username AWS --password-stdin "${repository%%/*}" >&2
        docker buildx build --platform "$platform" --provenance=false --tag "$repository:$tag" --push "$root" >&2
        digest=$(image_digest "$name" "$tag") || fail "the image $repository:$tag was pushed and is not there"
    fi
    image=$repository@$digest
}

# --- The actions

wait_until_healthy() {
    local url=$1 deadline=$((SECONDS + ${BOOTSTRAP_WAIT_SECONDS:-900}))
    say "Waiting until $url is ready"
    until curl --silent --fail --max-time 10 --output /dev/null "$url/readyz"; do
        [ "$SECONDS" -lt "$deadline" ] || fail "$url was not ready in time; the log group /fieldstation/$environment says why"
        sleep 5
    done
}

environment_url() {
    initialize server >/dev/null 2>&1 && output server url
}

create() {
    local tools=(curl git terraform aws credentials) stack image=${IMAGE:-} url
    [ -n "$image" ] || tools+=(docker)
    need_tools "${tools[@]}"
    case $image in '' | ?*@sha256:?*) ;; *) fail "IMAGE is REPOSITORY@sha256:…, not '$image'" 2 ;; esac
    say "Creating $environment in account $account, region $(region)"
    create_state_bucket
    for stack in $STACKS; do
        case $stack in
            registry)
                apply registry
                [ -n "$image" ] || build_and_push "$(output registry repository_url)" "$(output registry platform)"
                ;;
            server)
                [ -n "$image" ] || fail "STACKS has no registry before server; name an image in IMAGE"
                export_database_password
                apply server "-var=image=$image"
                wait_until_healthy "$(output server url)"
                ;;
            *) apply "$stack" ;;
        esac
    done
    if [[ " $STACKS " = *" server "* ]]; then
        url=$(output server url)
        run_tests "$url" "$device" "$file" >&2 || fail "the server runs at $url, and some of its tests failed"
        printf '%s\n' "$url"
    fi
}

confirm() {
    if [ "$assume_yes" = yes ] && [ "$environment" != prod ]; then return; fi
    local typed
    printf 'This removes %s in account %s with everything that is stored there. Type its name to go on: ' "$environment" "$account" >&2
    IFS= read -r typed || typed=''
    [ "$typed" = "$environment" ] || fail "nothing was removed"
}

destroy() {
    need_tools terraform aws credentials
    local stack options
    confirm
    if ! aws_cli s3api head-bucket --bucket "$(state_bucket)" --expected-bucket-owner "$account" >/dev/null 2>&1; then
        say "There is no bucket of the state, so nothing was created"
        return
    fi
    for stack in hosts delivery server registry; do
        if [[ " ${stacks_asked_for:-$stack} " != *" $stack "* ]]; then continue; fi
        if ! aws_cli s3api head-object --bucket "$(state_bucket)" --key "$(state_key "$stack")" >/dev/null 2>&1; then continue; fi
        initialize "$stack"
        options=("-var-file=$environment.tfvars")
        case $stack in
            # Deletion protection and non-empty buckets block the removal until a separate change lifts them.
            server | registry)
                options+=("-var=allow_removal=true")
                # Any image works here, and the registry may have none left.
                if [ "$stack" = server ]; then
                    options+=("-var=image=none@sha256:$(printf '0%.0s' {1..64})")
                    # The variable is required but unused. An earlier run may have removed the secret already.
                    TF_VAR_database_password=$(database_password || printf 'x%.0s' {1..40})
                    export TF_VAR_database_password
                fi
                say "Lifting the protection of $stack in $environment"
                lift_protection "$stack" "${options[@]}"
                ;;
        esac
        say "Destroying $stack in $environment"
        terraform_in "$stack" destroy -input=false -no-color -auto-approve "${options[@]}" >&2
        aws_cli s3api delete-object --bucket "$(state_bucket)" --key "$(state_key "$stack")" >/dev/null
    done
    if [[ " ${stacks_asked_for:-server} " = *" server "* ]] && database_password >/dev/null; then
        aws_cli secretsmanager delete-secret --secret-id "$(database_password_secret)" --force-delete-without-recovery >/dev/null
    fi
    say "$environment is gone; the bucket $(state_bucket) stays, with the old versions of its state, for 90 days"
}

# Applies only to protected resources; everything else is removed anyway.
lift_protection() {
    local stack=$1 targets address
    shift
    mapfile -t targets < <(terraform_in "$stack" state list 2>/dev/null |
        grep -E '(aws_dynamodb_table|aws_s3_bucket|aws_db_instance|aws_rds_cluster|aws_lb|aws_ecr_repository)\.[a-z_]+(\[.*\])?$' || true)
    [ ${#targets[@]} -gt 0 ] || return 0
    for address in "${targets[@]}"; do set -- "$@" "-target=$address"; done
    terraform_in "$stack" apply -input=false -no-color -auto-approve "$@" >&2
}
