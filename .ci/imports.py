#!/usr/bin/env python3
"""Checks the imports of the Rust sources: no circles, slices apart, drivers only in their backends.

    .ci/imports.py          the rules of this repository; exit code 1 when one is broken
    .ci/imports.py --test   this script's own tests

A circle is looked for among the children of each folder: when anything in `a` imports anything in `b`, `b` must not import
anything in `a`, not even through others. Imports between a module and the modules inside it are not counted: a module's root
names its parts, and the parts use the root's words. Unit tests (`mod tests`) may import what they like.
"""

import re
import sys
from collections import defaultdict
from pathlib import Path

ROOTS = ["src", "bench"]
SLICES = ["readings", "files", "todos", "greeting"]
# Where each crate may be named: a folder or a file below src/.
OWNERS = {
    "rusqlite": ["storage", "readings/embedded", "files/folder", "todos/sqlite", "greeting/sqlite.rs"],
    "aws_sdk_dynamodb": ["readings/dynamodb"],
    "aws_config": ["readings/dynamodb", "files/s3"],
    "aws_credential_types": ["readings/dynamodb", "files/s3"],
    "object_store": ["files/s3"],
    "quick_xml": ["files/s3"],
    "sqlx_core": ["todos/postgres"],
    "sqlx_postgres": ["todos/postgres"],
    "redis": ["greeting/redis"],
    "pco": ["readings/embedded"],
    # The command line is a client of the server. The address of a task comes from a service of ECS.
    "reqwest": ["cli", "ecs_metadata.rs"],
}

LITERAL = re.compile(
    r"""//[^\n]*|/\*.*?\*/|\br(#*)".*?"\1|"(?:\\.|[^"\\])*"|'(?:\\(?:x..|u\{[^}]*\}|.)|[^'\\])'""", re.DOTALL
)
USE = re.compile(r"\buse\s+([^;]+);")
TESTS = re.compile(r"#\[cfg\((?:test|all\(test,[^\]]*)\)\]\s*(?:#\[[^\]]*\]\s*)*mod\s+\w+\s*\{")
INLINE_MODULE = re.compile(r"\bmod\s+(\w+)\s*\{")
PATH = re.compile(r"(?<![\w:])((?:crate|self|super)(?:::\w+)+)")
CRATE = re.compile(r"(?<![\w:])(\w+)::")


def without_literals(source):
    """The source with comments and literals blanked, at the same offsets."""
    return LITERAL.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), source)


def block_end(source, opening):
    """The offset after the brace that closes the one at `opening`."""
    depth = 0
    for offset in range(opening, len(source)):
        depth += {"{": 1, "}": -1}.get(source[offset], 0)
        if depth == 0:
            return offset + 1
    return len(source)


def without_tests(source):
    while found := TESTS.search(source):
        end = block_end(source, found.end() - 1)
        source = source[: found.start()] + re.sub(r"[^\n]", " ", source[found.start() : end]) + source[end:]
    return source


def split_list(text):
    """The parts of a list in braces, which may hold lists."""
    parts, depth, current = [], 0, ""
    for character in text:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += character
    return [part for part in [*parts, current] if part.strip()]


def paths_of_use(tree, prefix=()):
    """All paths that a `use` names."""
    head, brace, rest = tree.partition("{")
    head = re.split(r"\bas\b", head)[0]
    path = prefix + tuple(name.strip() for name in head.split("::") if name.strip())
    if not brace:
        yield path[:-1] if path[-1] == "self" and len(path) > 1 else path
        return
    for part in split_list(rest[: rest.rindex("}")]):
        yield from paths_of_use(part, path)


def absolute(path, module):
    """The path from the crate's root; None when it begins with another crate."""
    if path[0] == "crate":
        return path[1:]
    if path[0] == "self":
        return module + path[1:]
    base = module
    while path and path[0] == "super":
        base, path = base[:-1], path[1:]
        if not path or path[0] != "super":
            return base + path
    return None


def imports(source, module):
    """The paths that a file imports, from the crate's root."""
    source = without_tests(without_literals(source))
    inner = [(m.start(), block_end(source, m.end() - 1), m.group(1)) for m in INLINE_MODULE.finditer(source)]
    found = [(path, m.start()) for m in USE.finditer(source) for path in paths_of_use(m.group(1))]
    outside = USE.sub(lambda m: " " * len(m.group()), source)
    found += [(tuple(m.group(1).split("::")), m.start()) for m in PATH.finditer(outside)]
    for path, offset in found:
        here = module + tuple(name for start, end, name in inner if start < offset < end)
        target = absolute(path, here)
        # A path that begins with a child module's name.
        yield target if target is not None else module + path


def modules_of(root):
    files = {}
    for path in sorted(Path(root).rglob("*.rs")):
        parts = path.relative_to(root).with_suffix("").parts
        module = parts[:-1] if parts[-1] in ("mod", "lib", "main") else parts
        if parts[-1] != "tests":
            files[module] = path
    return files


def edges_of(files):
    """Which module imports which."""
    for module, path in files.items():
        for target in imports(path.read_text(), module):
            while target and target not in files:
                target = target[:-1]
            if target and target != module:
                yield module, target


def circles(edges):
    """The circles among the children of each module, as (folder, children, edges)."""
    siblings = defaultdict(lambda: defaultdict(set))
    for module, target in edges:
        common = 0
        while common < min(len(module), len(target)) and module[common] == target[common]:
            common += 1
        if common < min(len(module), len(target)):
            siblings[module[:common]][module[common], target[common]].add(("::".join(module), "::".join(target)))
    for folder, pairs in sorted(siblings.items()):
        reachable = {name: {b for a, b in pairs if a == name} for name in {name for pair in pairs for name in pair}}
        for _ in reachable:
            for name in reachable:
                reachable[name] |= {far for near in reachable[name] for far in reachable[near]}
        together = defaultdict(set)
        for name in reachable:
            circle = frozenset({name} | {other for other in reachable[name] if name in reachable[other]})
            if name in reachable[name]:
                together[circle].add(name)
        for circle in together:
            inside = sorted(edge for pair, found in pairs.items() if set(pair) <= circle for edge in found)
            yield "::".join(folder) or "crate", sorted(circle), inside


def check(root):
    files = modules_of(root)
    edges = sorted(set(edges_of(files)))
    for folder, children, inside in circles(edges):
        yield f"{root}: {folder} has a circle of imports: {', '.join(children)}"
        yield from (f"    {module} imports {target}" for module, target in inside)
    if root != "src":
        return
    for module, target in edges:
        if module[0] in SLICES and target[0] in SLICES and module[0] != target[0]:
            yield f"{files[module]}: the slice {module[0]} imports the slice {target[0]}"
    for path in files.values():
        source = without_tests(without_literals(path.read_text()))
        place = path.relative_to(root).as_posix()
        for name in sorted(set(CRATE.findall(source)) & set(OWNERS)):
            # A module of ours may have the crate's name.
            is_ours = re.search(rf"\bmod {name};|\buse (?:crate|super|self)\b[^;]*\b{name}\b", source)
            if not is_ours and not any(place == owner or place.startswith(owner + "/") for owner in OWNERS[name]):
                yield f"{path}: names the crate {name}, which belongs to {', '.join(OWNERS[name])}"


def test():
    source = 'use crate::{a::{self, B}, c as d};\nlet x = "use crate::no;"; // use crate::not\nsuper::e::f();\n'
    assert sorted(imports(source, ("m", "n"))) == [("a",), ("a", "B"), ("c",), ("m", "e", "f")]
    assert not list(imports("#[cfg(test)]\nmod tests { use crate::a; }", ("m",)))
    assert list(imports("mod inner { use super::x; }", ("m",))) == [("m", "x")]
    edges = [(("a",), ("b", "x")), (("b",), ("c",)), (("c",), ("a",)), (("d",), ("a",)), (("a", "y"), ("a",))]
    assert [(folder, children) for folder, children, _ in circles(edges)] == [("crate", ["a", "b", "c"])]
    assert not list(circles([(("a",), ("b",)), (("a",), ("c",)), (("b",), ("c",))]))
    print("imports.py: its tests passed")


if __name__ == "__main__":
    if "--test" in sys.argv[1:]:
        test()
        sys.exit()
    broken = [line for root in ROOTS for line in check(root)]
    print("\n".join(broken) or "imports: no circles, slices apart, drivers in their backends")
    sys.exit(1 if broken else 0)
