#!/usr/bin/env python3
"""Prints how long each suite of tests took, and the slowest tests; adds the suites to a file of earlier runs.

    .ci/suite-times.py JUNIT_XML [HISTORY_TSV]

A suite is the first part of a test's name (`api`, `crash`, …) in its binary. Seconds are the sum over the suite's tests, of
which several run at the same time.
"""

import sys
import time
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

SLOWEST = 12


def main(report, history=None):
    suites, tests = defaultdict(list), []
    for case in ElementTree.parse(report).iter("testcase"):
        name, seconds = case.get("name"), float(case.get("time", 0))
        binary = case.get("classname").partition("::")[2] or "unit"
        suites[name.split("::")[0] if binary == "it" else "unit tests"].append(seconds)
        tests.append((seconds, name))
    print(f"{'suite':<16}{'tests':>7}{'seconds':>10}{'longest':>10}")
    for name, seconds in sorted(suites.items(), key=lambda suite: -sum(suite[1])):
        print(f"{name:<16}{len(seconds):>7}{sum(seconds):>10.1f}{max(seconds):>10.1f}")
    print("the slowest tests:")
    for seconds, name in sorted(tests, reverse=True)[:SLOWEST]:
        print(f"{seconds:>8.1f} s  {name}")
    if history:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with Path(history).open("a") as file:
            for name, seconds in sorted(suites.items()):
                file.write(f"{now}\t{name}\t{len(seconds)}\t{sum(seconds):.1f}\n")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(*sys.argv[1:])
