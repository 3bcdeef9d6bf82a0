#!/usr/bin/env python3
"""Run the tests with a sample of the mutants that universalmutator generates.

    sample.py draw PACKAGE SEED COUNT >SAMPLE     needs its program mutate in PATH
    sample.py run PACKAGE SAMPLE RESULTS [SUITE]  needs root; with SUITE, only the survivors

Start it in a checkout: also in a later one, as far as the diffs of the sample apply. A second run
continues an interrupted one. The first runs of a suite are without a mutant, for comparison.
"""

import difflib
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from multiprocessing.pool import ThreadPool
from pathlib import Path

SUITES = {"csrc": ["csrc/test", "."], "internal/pure": ["internal/pure", "."]}
GINKGO = (".", "fdchannel", "wire")
# Real programs, stress, allocation and tests that build programs are left out.
FLAGS = """'-ginkgo.label-filter=!(stress || real || gvisor || memory || catalogue)' -ginkgo.v \
    -ginkgo.seed=1 -ginkgo.no-color -ginkgo.grace-period=2s -ginkgo.json-report=/tmp/json"""
SKIP = ["Test(Wayland|Varlink|Python)", "allocat"]
PASSED = ("--- PASS:", "ok", "passed", "--- SKIP:", "skipped", "pending")
STUCK = ("=== RUN", "timedout", "interrupted")

# A mutant may call kill or unlink with a wrong argument. It runs as a user of its own and with
# limits, sees no other processes or sockets, and writes only to file systems in memory.
APART = "timeout -sKILL {} unshare -m -p -n -i --fork --kill-child --mount-proc sh -euc"
INSIDE = """mount -o remount,bind,ro /
mount -t tmpfs -o size=512m none /dev/shm
mkdir -m 1777 /dev/shm/tmp /dev/shm/work
mount -t overlay -o lowerdir=/tmp,upperdir=/dev/shm/tmp,workdir=/dev/shm/work none /tmp
ip link set lo up
setpriv --reuid=64000 --regid=64000 --clear-groups --no-new-privs --bounding-set=-all \
    prlimit --as=8589934592 --nproc=1000 --fsize=268435456 --nofile=4096 --core=0 \
    env -i HOME=/tmp LANG=C.UTF-8 PATH=/usr/local/bin:/usr/bin:/bin:/sbin \
    GOMEGA_DEFAULT_EVENTUALLY_TIMEOUT=3s SCM_TEST_ALONE=1 sh -c "$0" </dev/null 2>&1"""


def sh(command, **more):
    """Run a command. Return what it printed, or None if it failed."""
    done = subprocess.run(command, shell=True, check=False, capture_output=True, text=True, **more)
    return None if done.returncode else done.stdout


def mutants(file):
    """Yield the mutants of the functions of a file in Go or C."""
    text = Path(file).read_text()
    old = text.splitlines(True)
    spans = r"(?m)^func (?:\(.*?\) )?(\w+).*}$|^(?:func (?:\(.*?\) )?)?(\w+)[([](?s:.*?)^}"
    inside = {}
    for m in re.finditer(spans, text):
        first, last = (text.count("\n", 0, at) + 1 for at in m.span())
        inside |= dict.fromkeys(range(min(first + 1, last), last + 1), m[1] or m[2])
    with tempfile.TemporaryDirectory() as scratch:
        sh(f"mutate {file} --noCheck --mutantDir {scratch}") or sys.exit("mutate: failed")
        for path in sorted(Path(scratch).iterdir()):
            new = path.read_text().splitlines(True)
            line = next((n for n, (a, b) in enumerate(zip(old, new), 1) if a != b), 0)
            if len(new) > len(old):
                # An equivalent mutant has the same object code only if it has the same lines.
                line -= 1
                new[line - 1 : line + 1] = [f"{old[line - 1].rstrip()}; {new[line].strip()}\n"]
            # Without a method, only other packages would not compile.
            if line in inside and (old[line - 1][:4] != "func" or new[line - 1][:4] == "func"):
                yield {"file": file, "function": inside[line], "line": line, "diff": (old, new)}


def change(package, m, work):
    """Apply a diff to its file or to another one of the package, in an overlay. Return the file."""
    for path in [Path(m["file"]), *sorted(Path(package).glob("*.[cgh]*"))]:
        patch = f"test -f {path} && patch -sfr- -o {work}/{path.name} {path}"
        if sh(patch, input=m["diff"]) is not None:
            overlay = json.dumps({"Replace": {str(path.resolve()): f"{work}/{path.name}"}})
            Path(work, "overlay.json").write_text(overlay)
            return path


def compiled(package, m, work):
    """Return the object code without its build ID, or False if the mutant does not compile."""
    file = change(package, m, work)
    command = f"go build -overlay={work}/overlay.json -o {work}/object ./{package}"
    if not m["file"].endswith(".go"):
        command = "gcc -std=c99 -D_GNU_SOURCE -fkeep-static-functions -fkeep-inline-functions"
        command += f" -I{package} -O1 -S -o {work}/object -xc {work}/{file.name}"
    made = sh(command) is not None
    return made and re.sub(rb"[\w-]{20}/[\w-]{20}", b"", Path(work, "object").read_bytes())


def draw(package, seed, count):
    """Print mutants with other object code: one of each function, then a second one, and so on."""
    chance, work, left, healthy = random.Random(f"{seed} {package}"), tempfile.mkdtemp(), {}, {}
    files = sh("go list -f '{{.GoFiles}}{{.CFiles}}{{.HFiles}}' ./" + package)
    for file in [f"{package}/{f}" for f in re.findall(r"[\w.]+", files) if f != "other.h"]:
        healthy[file] = compiled(package, {"file": file, "diff": ""}, work)
        nth = {}
        for m in sorted(mutants(file), key=lambda _: chance.random()):
            # Of a function, one of each line, then a second one, and so on.
            nth[m["line"]] = nth.get(m["line"], 0) + 1
            left.setdefault((file, m["function"]), []).append((nth[m["line"]], m))
    turns, drawn = chance.sample(sorted(left), len(left)), 0
    while turns and drawn < int(count):
        at = turns.pop(0)
        left[at].sort(key=lambda m: m[0])
        while left[at]:
            m = left[at].pop(0)[1]
            m["diff"] = "".join(difflib.unified_diff(*m["diff"], at[0], at[0]))
            if compiled(package, m, work) not in (False, healthy[at[0]]):
                print(json.dumps({"id": f"{package}-{seed}-{drawn:03}", **m}), flush=True)
                drawn += 1
                turns.append(at)
                break
    sh(f"rm -r {work}")


def build(package, suite, m, work):
    """Build a suite with a mutant. Return the command that runs it, or None."""
    file = change(package, m, work)
    program = f"cd {suite} && {work}/suite -test.v"
    command = f"go test -c -overlay={work}/overlay.json -o {work}/suite ./{suite}"
    if suite == "csrc/test":
        names = [p.stem for p in Path(suite).glob("*.c") if "\nmain(" in p.read_text()]
        programs = " ".join(f"b/test/{name}" for name in sorted(names))
        program = f"cd {work}/csrc && sh test/run.sh csrc 'timeout 20' {programs} #"
        command = f"cp -r csrc {work} && cp {work}/*.[cgh]* {work}/csrc && cd {work}/csrc"
        command += f" && make BUILD=b CFLAGS=-O1 WERROR= {programs}"
    return program if file and sh(command) is not None else None


def outcome(suite, text, report):
    """Return what became of each test, in the words of the tool that ran it."""
    lines = r"(?m)^ *(=== RUN|--- PASS:|--- FAIL:|--- SKIP:|ok|not ok) +(.*?)(?: \([\d.]+s\))?$"
    state = {name: what for what, name in re.findall(lines, text)}
    state |= dict.fromkeys(re.findall(r"--- FAIL: (\S+) .*\npanic: ", text), "=== RUN")
    if suite in GINKGO and state.pop("TestSuite", None) != "--- PASS:" and not report:
        # Without a report, Ginkgo has crashed in the last spec that it printed.
        state |= dict.fromkeys(re.findall(r"(?m)^-{30}\n(.*)", text)[-1:], "interrupted")
    for spec in json.loads(report or "[{}]")[0].get("SpecReports", []):
        leaf = spec["LeafNodeText"] or spec["LeafNodeType"]
        state[" ".join([*(spec["ContainerHierarchyTexts"] or []), leaf])] = spec["State"]
    return {t: s for t, s in state.items() if not any(other.startswith(t + "/") for other in state)}


def attempt(job):
    """Run a suite with a mutant, and after a crash again without the tests that had not ended."""
    package, suite, limit, m = job
    work, state, stuck, again = tempfile.mkdtemp(), {}, [], True
    sh(f"chmod 755 {work}")
    program = build(package, suite, m, work)
    start = time.time()
    while program and again and time.time() - start < max(limit, 60):
        skip = SKIP + [re.escape(t).replace("'", ".") for t in stuck]
        names = "|".join(f"^{t.replace('/', '$/^')}$" for t in skip)
        flags = f"-test.short -test.timeout={limit}s '-test.skip={names}'"
        if suite in GINKGO:
            flags = f"{FLAGS} -ginkgo.timeout={limit}s '-ginkgo.skip={'|'.join(skip)}'"
            flags += "; s=$?; echo; echo @report; cat /tmp/json 2>&-; exit $s"
        apart = [*APART.format(limit + 20).split(), INSIDE, f"{program} {flags}"]
        done = subprocess.run(apart, check=False, capture_output=True, text=True, errors="replace")
        text, _, report = done.stdout.partition("\n@report\n")
        now = outcome(suite, text, report)
        again = [t for t, s in now.items() if s in STUCK]
        stuck += again
        state |= now
    sh(f"rm -r {work}")
    failed = stuck + [t for t, s in state.items() if s not in PASSED + STUCK]
    if program and done.returncode and not failed:
        failed = "".join(re.findall("# csrc: failed: (.*)", text)).split() or ["exit"]
    m = {**m, "stage": suite, "built": bool(program), "killed_by": failed, "stuck": stuck}
    m["passed"] = [t for t, s in state.items() if s in PASSED[:3] and not m["diff"]]
    return {**m, "seconds": round(time.time() - start, 1)}


def run(package, sample, results, only=None):
    """Run the suites of a package with each mutant, or one suite with the survivors."""
    sample = [json.loads(line) for line in Path(sample).read_text().splitlines()]
    for suite in [only] if only else SUITES.get(package, [package]):
        with ThreadPool(2) as pool, open(results, "a+", 1) as file:
            file.seek(0)
            old = [json.loads(line) for line in file]
            skip = {r["id"] for r in old if r["stage"] == suite or only and r["killed_by"]}
            todo = [m for m in sample if m["id"] not in skip]
            limit, unsound = 600, set()
            for batch in [{"id": "clean", "file": "", "diff": ""}] * 4, todo:
                for r in pool.imap(attempt, [(package, suite, limit, m) for m in batch]):
                    unsound |= set() if r["diff"] else set(r["killed_by"])
                    r["killed_by"] = [t for t in r["killed_by"] if t not in unsound]
                    print(json.dumps({**r, "unsound": sorted(unsound)}), file=file)
                limit = 20 + int(3 * r["seconds"])


if __name__ == "__main__":
    os.environ["GOFLAGS"] = "-vet=off -ldflags=-w" + " -tags=scm_purego" * (sys.argv[2] != "csrc")
    {"draw": draw, "run": run}[sys.argv[1]](*sys.argv[2:])
