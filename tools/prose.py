#!/usr/bin/env python3
"""Draw texts for a reader to judge: tools/prose.py errors|man|specs [COUNT] [SEED].

errors are the messages of the errors that the library makes, with … for a part that is not a literal,
man the sentences of the manual pages, and specs the full names of the library's specs, without those of
the catalogue. The same seed draws the same texts.
"""

import argparse
import json
import random
import re
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = [
    ".",
    "wire",
    "framed",
    "fdchannel",
    "fdleak",
    "csrc",
    "internal/msg",
    "internal/pure",
    "internal/sys",
]
SUITES = [".", "./wire", "./fdchannel"]

LITERAL = r'"((?:[^"\\]|\\.)*)"|`([^`]*)`'
# A call that makes or reports an error, up to the operand before its text.
CALL = re.compile(
    r"(?:errors\.New|fmt\.Errorf|sys\.Error|(\w+\.(?:errorf|refuse))|\bt\.(?:Error|Fatal))\("
)
ERROR_METHOD = re.compile(
    r"^func \([^)]*\) Error\(\) string \{(?: .* \}$|\n.*?^\}$)", re.MULTILINE | re.DOTALL
)


def message(code):
    """Return the text of the expression at the beginning of code, with … for operands that are not literals."""
    text, depth, in_text, position = "", 0, False, 0
    while position < len(code):
        if code.startswith("fmt.Sprintf(", position):
            position += len("fmt.Sprintf(")
            continue
        literal = re.compile(LITERAL).match(code, position)
        if literal:
            text += literal[1] if literal[1] is not None else literal[2]
            in_text, position = True, literal.end()
            continue
        char = code[position]
        if char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        if depth < 0 or char == "\n" or (char == "," and depth == 0 and in_text):
            break
        if char == "," and depth == 0:
            text = ""
        elif not char.isspace() and char != "+" and not text.endswith("…"):
            text += "…"
        position += 1
    return text.replace('\\"', '"').replace("\\n", " ").strip()


def error_texts():
    for package in PACKAGES:
        for path in sorted((ROOT / package).glob("*.go")):
            if path.name.endswith("_test.go"):
                continue
            code = re.sub(r"^\s*//.*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
            for call in CALL.finditer(code):
                prefix = "wire: …: " if call[1] and package == "wire" else ""
                yield prefix + message(code[call.end() :])
            for method in ERROR_METHOD.finditer(code):
                for expression in re.finditer(r"(?:return|text :?=) ", method[0]):
                    yield message(method[0][expression.end() :])


def man_sentences():
    for path in sorted((ROOT / "csrc/man").glob("*.[37]")):
        page = subprocess.run(
            ["mandoc", "-T", "utf8", "-O", "width=1000", path],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for paragraph in re.sub(r".\x08", "", page).splitlines():
            # mandoc writes two spaces after a sentence.
            for sentence in re.split(r"(?<=[.])  +", paragraph.strip()):
                if sentence.endswith("."):
                    yield re.sub(r"\s+", " ", sentence)


def spec_names():
    for suite in SUITES:
        with tempfile.NamedTemporaryFile(suffix=".json") as report:
            subprocess.run(
                ["go", "test", suite, "-ginkgo.dry-run", "-ginkgo.json-report=" + report.name],
                check=True,
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
            )
            specs = json.load(report)[0]["SpecReports"]
        for spec in specs:
            containers = spec["ContainerHierarchyTexts"] or []
            if spec["LeafNodeType"] == "It" and "catalogue" not in containers:
                yield " ".join([*containers, spec["LeafNodeText"]])


def main():
    kinds = {"errors": error_texts, "man": man_sentences, "specs": spec_names}
    parser = argparse.ArgumentParser(description="Draw texts for a reader to judge.")
    parser.add_argument("kind", choices=kinds)
    parser.add_argument("count", nargs="?", type=int, default=40, help="how many texts (40)")
    parser.add_argument("seed", nargs="?", default="x", help="the same seed draws the same texts")
    args = parser.parse_args()
    texts = {text for text in kinds[args.kind]() if len(re.findall(r"[A-Za-z]{2,}", text)) >= 3}
    random.seed(args.seed)
    for i, text in enumerate(random.sample(sorted(texts), min(args.count, len(texts))), 1):
        print(f"{i}. {text}")


if __name__ == "__main__":
    main()
