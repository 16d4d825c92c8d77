# shellcheck shell=bash
# The functional test: uses every route of a running server. Sourced by bootstrap.sh.
#
# The test uses its own sensors, todo and greeting, and removes or restores what it can. The readings of its sensor stay,
# because readings are never deleted. The file under the device id stays too, as requested.

checks_passed=0
checks_failed=0
checks_left_out=()

passed() {
    checks_passed=$((checks_passed + 1))
    printf 'ok    %s\n' "$1"
}

failed() {
    checks_failed=$((checks_failed + 1))
    printf 'FAIL  %s\n' "$1"
    printf '      %s\n' "${@:2}"
}

# request METHOD PATH [CURL OPTION...]: puts the answer into $status, $work/body and $work/head; status 000 means no answer.
request() {
    local method=$1 path=$2
    shift 2
    : >"$work/body"
    : >"$work/head"
    status=$(curl --silent --show-error --max-time 60 --request "$method" --output "$work/body" --dump-header "$work/head" \
        --write-out '%{http_code}' "$@" "$url$path" 2>"$work/curl") || true
    status=${status:-000}
}

# The beginning of the answer for messages: one line, printable characters.
answered() {
    local text
    text=$(head -c 300 "$work/body" | tr -c '[:print:]' ' ')
    printf '%s %s%s' "$status" "$text" "$(head -c 200 "$work/curl")"
}

# expect NAME STATUS METHOD PATH [CURL OPTION...]: checks the status of a request.
expect() {
    local name=$1 wanted=$2
    shift 2
    request "$@"
    if [ "$status" = "$wanted" ]; then
        passed "$name"
    else
        failed "$name" "wanted status $wanted of $1 $2" "got $(answered)"
        return 1
    fi
}

# answers NAME BODY METHOD PATH [CURL OPTION...]: checks for status 200 and exactly this body.
answers() {
    local name=$1 wanted=$2
    shift 2
    request "$@"
    if [ "$status" = 200 ] && [ "$(cat "$work/body")" = "$wanted" ]; then
        passed "$name"
    else
        failed "$name" "wanted 200 $wanted" "got $(answered)"
    fi
}

# holds NAME TEXT: checks that the answer contains this text.
holds() {
    if grep --quiet --fixed-strings -- "$2" "$work/body"; then
        passed "$1"
    else
        failed "$1" "wanted in the answer: $2" "got $(answered)"
    fi
}

same_file() {
    if cmp --silent "$2" "$3"; then
        passed "$1"
    else
        failed "$1" "$(wc -c <"$2") bytes were sent, $(wc -c <"$3") came back, and they differ"
    fi
}

# Percent-encodes a text for a path, byte by byte, in any locale.
percent_encoded() {
    local LC_ALL=C text=$1 out='' at character
    for ((at = 0; at < ${#text}; at++)); do
        character=${text:at:1}
        case $character in
            [A-Za-z0-9._~-]) out+=$character ;;
            *) out+=$(printf '%%%02X' "'$character" | sed 's/^%FFFFFFFFFFFFFF/%/') ;;
        esac
    done
    printf '%s' "$out"
}

# Escapes a text for a JSON string.
in_json() {
    local text=${1//\\/\\\\}
    printf '%s' "${text//\"/\\\"}"
}

# field NAME: prints a text field of the JSON answer, without a JSON parser. Only for ids, which contain no quotes.
field() { sed -n "s/.*\"$1\":\"\\{0,1\\}\\([^\",}]*\\).*/\\1/p" "$work/body" | head -n 1; }

test_server() {
    expect "GET /livez" 200 GET /livez
    expect "GET /readyz" 200 GET /readyz
    expect "GET /health" 200 GET /health && holds "GET /health says healthy" '"status":"healthy"'
    answers "GET /api" '{"message":"Hello!"}' GET /api
    expect "an unknown path is 404" 404 GET /no-such-path
    expect "a method that is not there is 405" 405 DELETE /api/stats
    expect "GET /" 200 GET / && holds "GET / greets" '<h1>Hello '
    local route
    for route in /metrics /openapi.json /docs; do
        request GET "$route"
        case $status in
            200) passed "GET $route" ;;
            404) checks_left_out+=("GET $route: this server does not have it") ;;
            *) failed "GET $route" "wanted 200" "got $(answered)" ;;
        esac
    done
}

test_readings() {
    local sensor=$1 at=2026-11-20T13:0 recorded='{"message":"Temperature reading recorded successfully"}'
    local part="/api/stats?sensorId=$sensor"
    answers "statistics of nothing are null" '{"Maximum":null,"Minimum":null,"Average":null}' GET "$part"
    answers "PUT /api/temperature" "$recorded" PUT /api/temperature \
        --json "{\"sensorId\":\"$sensor\",\"temperature\":28,\"timestamp\":\"${at}0:00\"}"
    answers "PUT /api/temperature, as older devices write it" "$recorded" PUT /api/temperature \
        --json "{\"sensorID\":\"$sensor\",\"temperature\":\"-6\",\"time\":\"${at/T/ }1\"}"
    answers "PUT /api/temperature, as a form" "$recorded" PUT /api/temperature \
        --data-urlencode "sensorId=$sensor" --data-urlencode temperature=8 --data-urlencode "timestamp=${at}2:00"
    answers "GET /api/stats of the sensor" '{"Maximum":28,"Minimum":-6,"Average":10}' GET "$part"
    answers "the same again" "$recorded" PUT /api/temperature \
        --json "{\"sensorId\":\"$sensor\",\"temperature\":28,\"timestamp\":\"${at}0:00\"}"
    answers "a retry does not count twice" '{"Maximum":28,"Minimum":-6,"Average":10}' GET "$part"
    answers "GET /api/stats of a window" '{"Maximum":-6,"Minimum":-6,"Average":-6}' GET "$part&from=${at}1:00Z&to=${at}2:00Z"
    expect "GET /api/stats" 200 GET /api/stats && holds "GET /api/stats has a maximum" '{"Maximum":'

    expect "a temperature that is none is 422" 422 PUT /api/temperature \
        --json "{\"sensorId\":\"$sensor\",\"temperature\":\"warm\"}"
    expect "what is no JSON is 400" 400 PUT /api/temperature --json '{"sensorId":'
    expect "another content type is 415" 415 PUT /api/temperature --header 'Content-Type: image/png' --data-binary x

    expect "POST /api/readings, JSON" 200 POST /api/readings \
        --json "[{\"sensorId\":\"$sensor\",\"temperature\":1,\"timestamp\":\"${at}3:00\"}]" &&
        holds "the batch counts what it recorded" '"recorded":1'
    printf '{"sensorId":"%s","temperature":2,"timestamp":"%s4:00"}\n' "$sensor" "$at" | gzip >"$work/batch.gz"
    expect "POST /api/readings, NDJSON with gzip" 200 POST /api/readings --header 'Content-Type: application/x-ndjson' \
        --header 'Content-Encoding: gzip' --data-binary "@$work/batch.gz"
    printf 'sensorId,timestamp,temperature\n%s,%s5:00,3\n' "$sensor" "$at" >"$work/batch.csv"
    expect "POST /api/readings, CSV" 200 POST /api/readings --header 'Content-Type: text/csv' --data-binary "@$work/batch.csv"
    expect "a batch with a bad reading is 422" 422 POST /api/readings \
        --json "[{\"sensorId\":\"$sensor\",\"temperature\":9,\"timestamp\":\"${at}6:00\"},{\"sensorId\":\"$sensor\"}]"
    answers "and nothing of it is stored" '{"Maximum":28,"Minimum":-6,"Average":6}' GET "$part"

    expect "GET /api/readings, NDJSON" 200 GET "/api/readings?sensorId=$sensor&format=ndjson"
    holds "the export has what was recorded" "{\"sensorId\":\"$sensor\",\"timestamp\":\"${at}0:00Z\",\"temperature\":28}"
    expect "GET /api/readings, CSV" 200 GET "/api/readings?sensorId=$sensor&format=csv"
    holds "the export has a header" sensorId,timestamp,temperature
    expect "GET /api/sensors" 200 GET '/api/sensors?limit=1' && holds "there are sensors" '"sensors":[{'
    expect "GET /api/sensors/{id}" 200 GET "/api/sensors/$sensor" && holds "six readings of the sensor" '"count":6'
    expect "GET /api/sensors/{id}/readings" 200 GET "/api/sensors/$sensor/readings?limit=2" && holds "they come in pages" '"next":"'
    expect "GET /api/sensors/{id}/series" 200 GET "/api/sensors/$sensor/series?from=${at}0:00Z&to=${at}6:00Z&points=6"
    expect "an unknown sensor is 404" 404 GET "/api/sensors/$sensor-that-is-not-there"
}

# Events during a recording. curl is meant to end at its time limit.
test_events() {
    local sensor=$1 listener
    request GET /api/events --max-time 1
    if [ "$status" = 404 ]; then
        checks_left_out+=("GET /api/events: this server does not have it")
        return
    fi
    curl --silent --no-buffer --max-time 4 --output "$work/events" "$url/api/events" &
    listener=$!
    sleep 1
    request PUT /api/temperature --json "{\"sensorId\":\"$sensor\",\"temperature\":5}"
    wait "$listener" || true
    if grep --quiet '^data:' "$work/events"; then
        passed "GET /api/events tells of a reading"
    else
        failed "GET /api/events tells of a reading" "no event came within 3 s of one being recorded"
    fi
}

test_files() {
    local device=$1 file=$2 in_path raw_in_path
    in_path=$(percent_encoded "$device")
    raw_in_path=$(percent_encoded "$device-raw")
    answers "PUT /api/devices/{id}, a form" "{\"message\":\"File uploaded for Device ID - $(in_json "$device")\"}" \
        PUT "/api/devices/$in_path" --form "file=@\"$file\""
    expect "GET /api/devices/" 200 GET /api/devices/ && find_device "$(in_json "$device")"
    expect "GET /api/devices" 200 GET /api/devices && holds "the list has its field" '"TelemetryDataDownloads":['
    if expect "GET /api/devices/{id}" 200 GET "/api/devices/$in_path"; then
        base64 --decode <"$work/body" >"$work/download" 2>/dev/null || true
        same_file "the file comes back as base64, byte for byte" "$file" "$work/download"
    fi
    if expect "GET /api/devices/{id}/content" 200 GET "/api/devices/$in_path/content"; then
        same_file "the file comes back as it is, byte for byte" "$file" "$work/body"
    fi
    if [ "$(wc -c <"$file")" -ge 2 ]; then
        expect "a part of the file is 206" 206 GET "/api/devices/$in_path/content" --range 0-0
    fi
    expect "GET /api/devices/{id}/info" 200 GET "/api/devices/$in_path/info" && holds "the info has the size" "$(wc -c <"$file")"
    expect "PUT /api/devices/{id}, the body alone" 200 PUT "/api/devices/$raw_in_path" \
        --header 'Content-Type: application/octet-stream' --data-binary "@$file"
    if expect "GET /api/devices/{id}/content of it" 200 GET "/api/devices/$raw_in_path/content"; then
        same_file "and it is the same" "$file" "$work/body"
    fi
    request DELETE "/api/devices/$raw_in_path"
    case $status in
        200 | 204) passed "DELETE /api/devices/{id}" ;;
        *) failed "DELETE /api/devices/{id}" "wanted 200 or 204" "got $(answered)" ;;
    esac
    expect "what was deleted is 404" 404 GET "/api/devices/$raw_in_path"
}

# The list may have several pages; the device is on one of them.
find_device() {
    local pages=0 cursor
    while ! grep --quiet --fixed-strings -- "\"$1\"" "$work/body"; do
        cursor=$(field next)
        pages=$((pages + 1))
        if [ -z "$cursor" ] || [ "$cursor" = null ] || [ "$pages" -gt 1000 ]; then
            failed "the device is in the list" "\"$1\" is on none of $pages pages"
            return
        fi
        request GET "/api/devices/?cursor=$(percent_encoded "$cursor")"
    done
    passed "the device is in the list"
}

test_todos() {
    local title=$1 id
    if ! expect "POST /api/todos" 201 POST /api/todos --json "{\"title\":\"$title\"}"; then return; fi
    holds "a new todo is pending" '"status":"pending"'
    id=$(field id)
    expect "GET /api/todos" 200 GET '/api/todos?limit=1000' && holds "there are todos" '"todos":['
    expect "GET /api/todos/{id}" 200 GET "/api/todos/$id" && holds "the todo has its title" "\"title\":\"$title\""
    expect "PATCH /api/todos/{id}" 200 PATCH "/api/todos/$id" --json '{"status":"in progress"}' &&
        holds "the status has changed" '"status":"in progress"'
    expect "PUT /api/todos/{id}" 200 PUT "/api/todos/$id" --json "{\"title\":\"$title, done\",\"status\":\"completed\"}" &&
        holds "the todo is replaced" '"status":"completed"'
    expect "a todo without a title is 422" 422 POST /api/todos --json '{"title":""}'
    request DELETE "/api/todos/$id"
    case $status in
        200 | 204) passed "DELETE /api/todos/{id}" ;;
        *) failed "DELETE /api/todos/{id}" "wanted 200 or 204" "got $(answered)" ;;
    esac
    expect "a deleted todo is 404" 404 GET "/api/todos/$id"
}

test_greeting() {
    local word=$1 before
    expect "GET /hello" 200 GET /hello || return 0
    before=$(cat "$work/body")
    answers "POST /hello" "$word" POST /hello --header 'Content-Type: text/plain' --data-binary "$word"
    answers "GET /hello has the new word" "$word" GET /hello
    expect "GET /" 200 GET / && holds "the front page has the new word" "<h1>Hello $word!</h1>"
    expect "an empty word is 400" 400 POST /hello --header 'Content-Type: text/plain' --data-binary ''
    holds "and says what it must be" 'data must contain a string'
    if [ -n "$before" ]; then
        expect "the word is put back" 200 POST /hello --header 'Content-Type: text/plain' --data-binary "$before"
    fi
}

# run_tests URL DEVICE_ID FILE: returns 0 when every check passed.
run_tests() {
    set +e # A check that fails is counted, and the others go on.
    url=${1%/}
    local device=$2 file=$3 unique
    unique=$(date +%s)-$$-$RANDOM
    work=$(mktemp -d)
    # shellcheck disable=SC2064  # expands to the current directory
    trap "rm -rf '$work'" EXIT
    if [ -z "$file" ]; then
        file=$work/probe
        { printf 'A file of the functional test, %s\n' "$unique"; head -c 100000 /dev/urandom; } >"$file"
    fi
    printf 'Testing %s\n' "$url"
    request GET /livez
    if [ "$status" = 000 ]; then
        printf 'FAIL  nothing answers at %s: %s\n' "$url" "$(head -n 1 "$work/curl")"
        return 1
    fi
    test_server
    test_readings "bootstrap-$unique"
    test_events "bootstrap-$unique-events"
    test_files "$device" "$file"
    test_todos "bootstrap $unique"
    test_greeting "Bootstrap-$unique"
    local what
    for what in "${checks_left_out[@]}"; do printf 'left out: %s\n' "$what"; done
    printf '%d checks passed, %d failed, %d left out\n' "$checks_passed" "$checks_failed" "${#checks_left_out[@]}"
    [ "$checks_failed" -eq 0 ]
}
