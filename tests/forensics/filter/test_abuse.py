"""Filters that want too much are refused, or answered, in two seconds of the processor and 256 MiB.

They run in a process of their own, which says of each how long it took and how much memory there was at most.
"""

import itertools
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tensorshark.forensics.filter import check, complete, parse, values
from tensorshark.traces.errors import FilterError
from tensorshark.traces.index import Index
from tensorshark.traces.manifest import StoredSite
from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import synthetic_trace, write_synthetic

SECONDS = 2.0
MEMORY = 256 << 20
LAYERS, HEADS, POSITIONS = 30, 9, 2000

A_FIELD = "resid_post.norm"
MANY = ", ".join(map(str, range(3000)))
ROWS = "any(l, h, p: attn.entropy#l:h[p] > 1 and attn.sink#l:h[p] < 0.2 and resid_post.norm#l[p] > 3)"
TEXTS: dict[str, str] = {
    "parentheses": "(" * 4000 + "bos" + ")" * 4000,
    "parentheses, one short": "(" * 4000 + "bos" + ")" * 3999,
    "not": "not " * 2000 + "bos",
    "bangs": "!" * 8000 + "bos",
    "minus": "-" * 8000 + "seq_len > 3",
    "functions": "abs(" * 2000 + "next.p",
    "quantifiers": "all(" * 2000 + "seq_len > 3" + ")" * 2000,
    "brackets": A_FIELD + "[" * 8000,
    "braces": "seq_len in " + "{" * 8000,
    "ten million characters": "bos and " * 1_250_000 + "bos",
    "one long word": "a" * 8000,
    "one long text": 'prompt contains "' + "a" * 8000 + '"',
    "an open quote": 'prompt contains "' + "\\" * 8000,
    "a long label": 'label."' + "x" * 8000 + '" == "y"',
    "clauses": " and ".join(["bos"] * 1000),
    "clauses of exclusive or": " xor ".join(["(bos or not bos)"] * 400),
    "a large set": "seq_len in {" + MANY[:8000].rpartition(",")[0] + "}",
    "a large set of texts": "label.category in {" + ",".join(f'"{n}"' for n in range(1000)) + "}",
    "a set of ranges": "seq_len in {" + ",".join(f"{n}..{n + 1}" for n in range(600)) + "}",
    "many digits": "seq_len > " + "9" * 8000,
    "many hex digits": "seq_len > 0x" + "f" * 8000,
    "a large exponent": "seq_len < 1e999999999",
    "a small exponent": "next.p > 1e-999999999",
    "an infinite quantity": "seq_len < 1e308T",
    "alternatives": 'prompt matches r"' + "|".join(f"a{n}" for n in range(1200)) + '"',
    "nested repeats": 'prompt matches r"(a+)+$"',
    "nested stars": 'prompt matches r"((a*)*)*b"',
    "overlapping repeats": 'prompt matches r"(x+x+)+y|(a|aa)+$|(a|a?)+$"',
    "counted repeats": 'prompt matches r"((a{0,100}){0,100}){0,100}b"',
    "a large count": 'prompt matches r"a{1000000}"',
    "counts of counts": 'prompt matches r"(a{1000}){1000}"',
    "any character, counted": 'prompt matches r"(.{1,1000}){1,1000}"',
    "classes, counted": r'prompt matches r"(\pL{1,500}\pN{1,500}){1,2}"',
    "optional characters": 'prompt matches r"' + "a?" * 900 + "a" * 900 + '"',
    "open groups": 'prompt matches r"' + "(" * 4000 + '"',
    "a large range": A_FIELD + "[0-999999999999] > 3",
    "a large slice": A_FIELD + "[0:99999999999999999999:1] > 3",
    "a slice from far before": A_FIELD + "[-99999999999999999999:] > 3",
    "a large step": A_FIELD + "[::99999999999999999999] > 3",
    "a large layer": A_FIELD + "#99999999999999999999[-1] > 3",
    "layers": A_FIELD + "#[0-99999999][-1] > 3",
    "layers one by one": A_FIELD + f"#[{MANY[:4000].rpartition(',')[0]}] > 3",
    "slices over and over": A_FIELD + "[" + ",".join(["::"] * 2000) + "] > 3",
    "positions over and over": " or ".join([A_FIELD + "[" + ",".join(["0-1999"] * 30) + "] > 1e9"] * 30),
    "every cell, many times": " or ".join(["attn.entropy > 99", "attn.sink > 99", "token.id > 1e9"] * 60),
    "every median": " or ".join(["median(attn.entropy) > 99"] * 60),
    "two of every cell": "attn.entropy > attn.sink and attn.sink > attn.entropy",
    "two fields of tokens": "token == token[::-1] or token != token[1:]",
    "arithmetic": " + ".join([A_FIELD] * 250) + " > 1e9",
    "arithmetic in depth": "(" * 60 + A_FIELD + " * 2)" * 60 + " > 1e9",
    "growing numbers": " * ".join(["1e300"] * 100) + " * seq_len > 3",
    "powers of large integers": " * ".join(["9223372036854775807"] * 200) + " * seq_len > 3",
    "three variables": ROWS,
    "three variables, many times": " or ".join([ROWS.replace("3)", f"{n})") for n in range(90, 130)]),
    "three variables, all": "all(l, h, p: attn.entropy#l:h[p] >= 0)",
    "a variable beside every cell": "any(l, p: resid_post.norm#l[p] > resid_post.norm + 1e9)",
    "three variables beside every cell": "any(l, h, p: attn.entropy#l:h[p] > attn.entropy + 1e9)",
    "layers beside layers, at every token": "any(l, h, p: attn.entropy#l:h[p] > attn.entropy[p] + 1e9)",
    "a function in every layer": "any(l, p: max(attn.entropy#l) > 99 and resid_post.norm#l[p] > 1e9)",
    "a function at every token": "any(p: median(attn.entropy[p]) > 99)",
    "a median at every cell": "any(l, p: median(attn.entropy#l[p]) > 99 or std(attn.sink#l[p]) > 99)",
    "nested variables": "any(l: any(p: any(h: attn.entropy#l:h[p] > 1)))",
    "quantiles": "quantile(attn.entropy, 1e300) > 3",
    "quantile of nothing": "quantile(attn.entropy, nan) > 3",
    "many quantiles": " or ".join(f"quantile(attn.entropy, 0.{n}) > 99" for n in range(100, 150)),
    "places of all": "rank(max(attn.entropy)) < 0 or rank(max(attn.sink)) < 0 or rank(mean(attn.sink)) < 0",
    "scores of all": "zscore(attn.entropy[-1], over=zscore(attn.entropy[-1]) > 0) > 99",
    "scores of scores": "zscore(" * 60 + "seq_len" + ")" * 60 + " > 3",
    "a long token": 'token == t"' + "Ġ" * 8000 + '"',
}  # fmt: skip
MACROS = {
    "self": "${self}",
    "two": "${two2} or ${two2}",
    **{f"two{n}": f"${{two{n + 1}}} or ${{two{n + 1}}}" for n in range(2, 20)},
    "ten": " or ".join(["${ten2}"] * 10),
    **{f"ten{n}": " or ".join([f"${{ten{n + 1}}}"] * 10) for n in range(2, 12)},
    "ten12": "bos",
    "wide": "bos or " * 1000 + "bos",
    "grow": "${grow2($1$1$1$1$1$1$1$1)}",
    **{f"grow{n}": f"${{grow{n + 1}($1$1$1$1$1$1$1$1)}}" for n in range(2, 12)},
    "grow12": 'prompt contains "$1"',
}
EXPANDED = ("${self}", "${two}", "${ten}", "${wide}", "${grow(aaaaaaaa)}", " or ".join(["${wide}"] * 500))


def long_capture(path: Path) -> Capture:
    """One trace of 30 layers, 9 heads and 2,000 tokens, whose prompt is a run of one letter."""
    capture = write_synthetic(path, traces=0, layers=LAYERS, heads=HEADS)
    manifest, _, _ = synthetic_trace(capture, "a", {}, seed=1)
    rng = np.random.default_rng(0)
    stats = {f"norm.{site}": (LAYERS, POSITIONS) for site in ("resid_pre", "resid_post", "attn_out")}
    stats |= {f"attn.{name}": (LAYERS, HEADS, POSITIONS) for name in ("entropy", "sink")}
    layers = list(range(LAYERS))
    tokens = [f" t{n}" for n in range(POSITIONS)]
    sites = [
        StoredSite(name=site.name, layers=layers, axes=site.axes, dtype=site.dtype) for site in manifest.sites
    ]
    manifest = msgspec.structs.replace(
        manifest, prompt="a" * 100_000, text="a" * 100_000, tokens=tokens, token_ids=list(range(POSITIONS)),
        attention_mask=[1] * POSITIONS, spans=[], sites=sites,
    )  # fmt: skip
    with capture.writer(sync=False) as writer:
        arrays = {name: rng.random(shape, np.float32) for name, shape in stats.items()}
        assert writer.commit(manifest, {}, arrays)
    return capture


def abused(folder: Path) -> Iterator[dict[str, object]]:
    """What each filter took: run in the child."""
    with Index.open(Capture.open(folder)) as index:
        for text in ("resid_post.norm > 3", 'prompt matches "b"'):
            parse(text).select(index)
        for name, text in TEXTS.items():
            yield {"name": name, **_measured(lambda text=text: _ask(text, {}, index))}
        for text in EXPANDED:
            yield {"name": text[:40], **_measured(lambda text=text: _ask(text, MACROS, index))}


def _measured(ask: object) -> dict[str, object]:
    assert callable(ask)
    before = time.process_time()
    said = ask()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    return {"seconds": time.process_time() - before, "peak": peak, "said": said}


def _ask(text: str, macros: dict[str, str], index: Index) -> str:
    check(text, index)
    complete(text, len(text), index)
    with suppress(FilterError):
        values(text, index, [1])
    try:
        found = parse(text, macros) if macros else parse(text)
        return f"{len(found.words())} {found.select(index).tolist()}"
    except FilterError as error:
        assert 0 <= error.column <= len(text)
        return error.reason


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    folder = long_capture(tmp_path_factory.mktemp("long") / "long.tshark").path
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, __file__, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, env=environment, check=False)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, (found[-1:], done.stderr[-2000:])
    return found


def test_every_filter_is_refused_or_answered_in_time(reports: list[dict[str, object]]) -> None:
    slow = {
        report["name"]: report["seconds"] for report in reports if float(str(report["seconds"])) > SECONDS
    }
    assert not slow
    assert len(reports) == 1 + len(TEXTS) + len(EXPANDED)


def test_no_filter_takes_much_memory(reports: list[dict[str, object]]) -> None:
    grown = {}
    for before, after in itertools.pairwise(reports):
        taken = int(str(after["peak"])) - int(str(before["peak"]))
        if taken > MEMORY // 4:
            grown[after["name"]] = taken >> 20
    assert int(str(reports[-1]["peak"])) - int(str(reports[0]["peak"])) <= MEMORY, grown


if __name__ == "__main__":
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    limit = 6 << 30  # of addresses: whatever goes wrong here does not take the machine along
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    print(json.dumps({"name": "", "seconds": 0.0, "peak": start, "said": ""}), flush=True)
    for line in abused(Path(sys.argv[1])):
        print(json.dumps(line), flush=True)
