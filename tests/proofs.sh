#!/usr/bin/env bash
# Repeats the tests of kills, power cuts, flipped bits and full disks as often as you like; docs/explanation/reliability.md has results.
#
#   tests/proofs.sh [KILLS] [POWER_CUTS] [BIT_FLIPS] [FULL_DISKS] [FILE_LIMITS]     20, 20, 20, 20 and 2 unless you say otherwise
#
# A thousand kills take a quarter of an hour, and so do a thousand power cuts. Needs the same programs as ./test.sh. Prints the
# counts. The exit code is not 0 when anything was lost. target/proofs/ has the whole output.
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
full_disks=${4:-20}
file_limits=${5:-2}
logs=target/proofs
mkdir -p "$logs"

# proof NAME PATTERN TEST …: runs tests, and prints the output lines that match the pattern.
proof() {
    local name=$1 pattern=$2 log=$logs/$1.log
    shift 2
    printf '\n== %s\n' "$name"
    if ! cargo test --locked --quiet --test it -- --nocapture --test-threads 1 "$@" >"$log" 2>&1; then
        tail -n 60 "$log" >&2
        printf 'proofs.sh: %s: failed; the whole output is in %s\n' "$name" "$log" >&2
        exit 1
    fi
    if ! grep -E "$pattern" "$log" | tail -n 12; then
        printf 'proofs.sh: %s: nothing was tried; see %s\n' "$name" "$log" >&2
        exit 1
    fi
}

export FIELDSTATION_CRASH_KILLS=$kills FIELDSTATION_POWER_CUTS=$cuts FIELDSTATION_BIT_FLIPS=$flips FIELDSTATION_DISK_CYCLES=$full_disks
proof "kill -9, $kills times, under readings" '^kill [0-9]+ of' crash::every_acknowledged_reading crash::kills_while_much_is_sealed
proof "kill -9, $kills times, under files" 'files acknowledged' crash::files::every_file_in_the_folder
proof "a power cut, $cuts times, under readings, todos, the greeting and files" 'nothing lost' crash::cuts::
proof "a flush that fails, a restart, a power cut" '^test result' crash::flushes::
proof "a bit that flips, $flips times" '^(readings.db|station.db|files/): [0-9]+ ' crash::flips::
proof "a disk that is full, and a quota that is used up, $full_disks times each, with a restart every time" '^cycle [0-9]+ of' disk::cycles::
for ((n = 1; n <= file_limits; n++)); do
    proof "files that may not grow beyond a size, $n of $file_limits" '^test result' crash::disk::
done
