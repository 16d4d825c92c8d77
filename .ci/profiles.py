"""Checks the optimization levels in Cargo.toml.

Two mistakes are found. A package with a level of its own is no longer a dependency: cargo only warns about it. And `dist`, which
releases are built with, does not optimize a package fully.
"""

import json
import os
import subprocess
import sys


def units(profile: str, target: str) -> tuple[list[dict], str]:
    """Returns the units that cargo would compile for the server, and cargo's warnings. Compiles nothing. The option is unstable."""
    command = ["cargo", "build", "--locked", "--all-features", "--profile", profile, "--target", target]
    cargo = subprocess.run(
        [*command, "-Z", "unstable-options", "--unit-graph"],
        env={**os.environ, "RUSTC_BOOTSTRAP": "1", "CARGO_TERM_COLOR": "never"},
        capture_output=True,
        text=True,
        check=False,
    )
    if cargo.returncode != 0:
        sys.exit(cargo.stderr)
    return json.loads(cargo.stdout)["units"], cargo.stderr


def main() -> None:
    version = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    target = version.split("host: ")[1].split()[0]
    compiled, warnings = units("dist", target)
    # Units of the server have a platform. Build scripts and macros, which run during the build, have none.
    slow = sorted({
        f"{unit['target']['name']} ({unit['profile']['opt_level']})"
        for unit in compiled
        if unit["platform"] and unit["profile"]["opt_level"] != "3"
    })
    if slow:
        sys.exit("Cargo.toml: [profile.dist.package] lacks `opt-level = 3` for:\n  " + "\n  ".join(slow))
    gone = [line for line in warnings.splitlines() if "profile package spec" in line]
    if gone:
        sys.exit("Cargo.toml: correct the names of these packages, or take them out:\n  " + "\n  ".join(gone))


main()
