#!/usr/bin/env bash
# What docs/reliability.md says of kills, power cuts, flipped bits and full disks, tried as often as you like.
#
#   tests/proofs.sh [KILLS] [POWER_CUTS] [BIT_FLIPS] [FULL_DISKS]      20, 20, 20 and 2 unless you say otherwise
#
# A thousand kills take about an hour, a thousand power cuts fifteen minutes. Needs what ./test.sh needs to build. Prints what was
# counted, and ends with another exit code than 0 when something was lost. The whole output is in target/proofs/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case ${1:-} in -h | --help)
    sed -n 's/^# \{0,1\}//p' "${BASH_SOURCE[0]}" | sed 1d
    exit
    ;;
esac
kills=${1:-20}
cuts=${2:-20}
flips=${3:-20}
full_disks=${4:-2}
logs=target/proofs
mkdir -p "$logs"

# proof NAME TEST PATTERN: runs tests, and prints the lines of theirs that count something.
proof() {
    local log=$logs/$1.log
    printf '\n== %s\n' "$1"
    if ! cargo test --locked --quiet --test it -- --nocapture --test-threads 1 "$2" >"$log" 2>&1; then
        tail -n 60 "$log" >&2
        printf 'proofs.sh: %s: failed; the whole output is in %s\n' "$1" "$log" >&2
        exit 1
    fi
    if ! grep -E "$3" "$log" | tail -n 12; then
        printf 'proofs.sh: %s: nothing was tried; see %s\n' "$1" "$log" >&2
        exit 1
    fi
}

export FIELDSTATION_CRASH_KILLS=$kills FIELDSTATION_POWER_CUTS=$cuts FIELDSTATION_BIT_FLIPS=$flips
proof "kill -9, $kills times, under readings" crash::every_acknowledged_reading '^kill [0-9]+ of'
proof "kill -9, $kills times, under files" crash::files::every_file_in_the_folder 'files acknowledged'
proof "a power cut, $cuts times, under readings, todos, the greeting and files" crash::cuts:: 'nothing lost'
proof "a flush that fails, a restart, a power cut" crash::flushes:: '^test result'
proof "a bit that flips, $flips times" crash::flips:: '^(readings.db|station.db|files/): [0-9]+ '
for ((n = 1; n <= full_disks; n++)); do
    proof "a disk that takes no more, $n of $full_disks" crash::disk:: '^test result'
done
