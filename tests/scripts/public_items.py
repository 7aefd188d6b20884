#!/usr/bin/env python3
"""Keeps a listing of the library's public items, and fails on a change that the listing does not have.

    tests/scripts/public_items.py --check     compares, prints a diff, exits with 1 if there is one
    tests/scripts/public_items.py --update    writes tests/public_items.txt

A line is one item: its path and its kind. Indented below it are the fields or variants of a type and the traits that it
implements; they are not counted, nor are modules. Hidden items, blanket implementations and auto traits are left out.
`--check` also fails if an item has no documentation, or if there are more than MOST items.

The items are read off rustdoc's JSON (all features). That output is unstable and has a version of its own: with a
version that this script does not know, it prints SKIPPED and exits with 0.
"""

import argparse
import difflib
import json
import os
import pathlib
import stat
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
LISTING = ROOT / "tests" / "public_items.txt"
MOST = 535
KNOWN_VERSIONS = {57}
SKIPPED_TRAITS = {"StructuralPartialEq"}


def rustdoc_json():
    """Runs rustdoc and returns its JSON, or None if this toolchain writes none."""
    # Unstable options are allowed for rustdoc alone: set for all of cargo, the variable would rebuild dependencies.
    with tempfile.TemporaryDirectory() as folder:
        wrapper = pathlib.Path(folder) / "rustdoc"
        rustdoc = os.environ.get("RUSTDOC", "rustdoc")
        wrapper.write_text(f'#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec {rustdoc} "$@"\n')
        wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
        command = ["cargo", "rustdoc", "--quiet", "--locked", "--lib", "--all-features"]
        command += ["--", "-Z", "unstable-options", "--output-format", "json"]
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, "RUSTDOC": str(wrapper)})
    if done.returncode != 0:
        sys.exit("rustdoc failed")
    metadata = ["cargo", "metadata", "--locked", "--no-deps", "--format-version", "1"]
    target = json.loads(subprocess.check_output(metadata, cwd=ROOT))["target_directory"]
    return json.loads((pathlib.Path(target) / "doc" / "gristmill.json").read_text())


class Listing:
    """The public items of a crate, by path."""

    def __init__(self, crate):
        self.index = crate["index"]
        self.items = {}
        self.counted = 0
        self.undocumented = []
        self.module(self.item(crate["root"]), [])

    def item(self, number):
        """The item of that number, or None if it is hidden or another crate's."""
        return self.index.get(str(number))

    def add(self, path, kind, item, below=()):
        self.items[f"{'::'.join(path)}  {kind}"] = sorted(below)
        self.counted += kind != "module"
        if not (item["docs"] or "").strip():
            self.undocumented.append("::".join(path))

    def module(self, module, path):
        for number in module["inner"]["module"]["items"]:
            if (item := self.item(number)) is not None:
                self.exported(item, path)

    def exported(self, item, path, name=None):
        """Adds an item of a module; a re-export adds what it names."""
        kind, inner = next(iter(item["inner"].items()))
        if kind == "use":
            target = self.item(inner["id"])
            if target is not None and inner["is_glob"]:
                self.module(target, path)
            elif target is not None:
                self.exported(target, path, inner["name"])
            return
        if kind in ("impl", "extern_crate"):
            return
        path = [*path, name or item["name"]]
        if kind == "module":
            self.add(path, kind, item)
            self.module(item, path)
        elif kind in ("struct", "enum", "union"):
            self.add(path, kind, item, self.parts(inner) + self.traits(inner))
            self.methods(inner, path)
        elif kind == "trait":
            self.add(path, kind, item)
            self.members(inner["items"], path)
        else:
            self.add(path, kind, item)

    def parts(self, inner):
        """Lines for public fields, or for variants and their fields."""
        lines = []
        fields = inner.get("kind", {}).get("plain", {}).get("fields", []) if isinstance(inner.get("kind"), dict) else []
        for number in [*fields, *inner.get("variants", [])]:
            if (part := self.item(number)) is None:
                continue
            kind = next(iter(part["inner"]))
            lines.append(f"{part['name']}  {'field' if kind == 'struct_field' else kind}")
            variant = part["inner"].get("variant", {}).get("kind")
            for number in variant["struct"]["fields"] if isinstance(variant, dict) and "struct" in variant else []:
                if (field := self.item(number)) is not None:
                    lines.append(f"{part['name']}::{field['name']}  field")
        return lines

    def impls(self, inner):
        for number in inner["impls"]:
            item = self.item(number)
            block = item and item["inner"]["impl"]
            if block and not block["is_synthetic"] and block["blanket_impl"] is None:
                yield block

    def traits(self, inner):
        """Lines for the traits that a type implements."""
        names = {block["trait"]["path"].split("::")[-1] for block in self.impls(inner) if block["trait"]}
        return [f"{name}  implemented" for name in names - SKIPPED_TRAITS]

    def methods(self, inner, path):
        for block in self.impls(inner):
            if block["trait"] is None:
                self.members(block["items"], path)

    def members(self, numbers, path):
        for number in numbers:
            if (item := self.item(number)) is not None:
                kind = next(iter(item["inner"]))
                self.add([*path, item["name"]], "method" if kind == "function" else kind, item)

    def text(self):
        lines = []
        for line in sorted(self.items):
            lines.append(line)
            lines.extend(f"    {part}" for part in self.items[line])
        return "".join(f"{line}\n" for line in lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument("--check", action="store_true", help="compare with the listing")
    wanted.add_argument("--update", action="store_true", help="write the listing")
    arguments = parser.parse_args()
    crate = rustdoc_json()
    version = crate.get("format_version")
    if version not in KNOWN_VERSIONS:
        print(f"SKIPPED: rustdoc's JSON has version {version}; this script knows {sorted(KNOWN_VERSIONS)}")
        return 0
    listing = Listing(crate)
    text = listing.text()
    if arguments.update:
        LISTING.write_text(text)
        print(f"{LISTING.relative_to(ROOT)}: {listing.counted} items")
        return 0
    kept = LISTING.read_text() if LISTING.exists() else ""
    name = str(LISTING.relative_to(ROOT))
    diff = list(difflib.unified_diff(kept.splitlines(True), text.splitlines(True), name, "the library as built"))
    sys.stdout.writelines(diff)
    faults = []
    if diff:
        faults.append("the public items changed; if that is intended: tests/scripts/public_items.py --update")
    faults += [f"no documentation: {path}" for path in listing.undocumented]
    if listing.counted > MOST:
        faults.append(f"{listing.counted} public items, of {MOST} at most")
    for fault in faults:
        print(fault)
    print(f"{listing.counted} public items")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
