"""Mines sentence pairs with faiss's exact index: what benches/mining.py compares with.

    mining_faiss.py SOURCE TARGET OUTPUT            mines; prints the seconds of the search as JSON
    mining_faiss.py --make ROWS WIDTH SOURCE TARGET draws vectors
    mining_faiss.py --compare ONE OTHER SOURCE TARGET compares two tables of pairs
"""

import json
import sys
import time

import numpy as np
from safetensors.numpy import load_file, save_file

NEIGHBOURS = 4
# Margins are quotients of sums of four cosines, each of which may be off by some 1e-7.
ROUNDING = 2e-6


def make(rows, width, source, target):
    random = np.random.default_rng(1)
    centres = random.standard_normal((1000, width), dtype=np.float32)

    def side():
        return centres[random.integers(0, len(centres), rows)] + 0.8 * random.standard_normal((rows, width), dtype=np.float32)

    one, other = side(), side()
    translated = rows // 10
    to, of = random.permutation(rows)[:translated], random.permutation(rows)[:translated]
    other[to] = one[of] + 0.5 * random.standard_normal((translated, width), dtype=np.float32)
    save_file({"vectors": one}, source)
    save_file({"vectors": other}, target)


def load(path):
    return load_file(path)["vectors"]


def mine(source, target, output):
    import faiss
    import pyarrow as pa
    import pyarrow.parquet as pq

    x, y = load(source), load(target)
    # As Trestle does while it reads.
    faiss.normalize_L2(x)
    faiss.normalize_L2(y)
    began = time.perf_counter()
    found = []
    for own, other in [(x, y), (y, x)]:
        index = faiss.IndexFlatIP(other.shape[1])
        index.add(other)
        found.append(index.search(own, NEIGHBOURS))
    (forward, forward_rows), (backward, backward_rows) = found
    means = forward.mean(axis=1), backward.mean(axis=1)
    ahead = forward / ((means[0][:, None] + means[1][forward_rows]) / 2)
    back = backward / ((means[1][:, None] + means[0][backward_rows]) / 2)
    sources = np.concatenate([np.arange(len(x)), np.take_along_axis(backward_rows, back.argmax(1)[:, None], 1)[:, 0]])
    targets = np.concatenate([np.take_along_axis(forward_rows, ahead.argmax(1)[:, None], 1)[:, 0], np.arange(len(y))])
    margins = np.concatenate([ahead.max(1), back.max(1)])
    used, pairs = (set(), set()), []
    for place in np.argsort(-margins, kind="stable"):
        pair = int(sources[place]), int(targets[place])
        if margins[place] > 0 and pair[0] not in used[0] and pair[1] not in used[1]:
            used[0].add(pair[0])
            used[1].add(pair[1])
            pairs.append((*pair, float(margins[place])))
    seconds = time.perf_counter() - began
    columns = list(zip(*pairs))
    table = {"source_id": list(map(str, columns[0])), "target_id": list(map(str, columns[1])), "margin": columns[2]}
    pq.write_table(pa.table(table), output)
    print(json.dumps({"searching_seconds": seconds}))


def compare(one, other, source, target):
    """How many pairs differ, by how much margins of pairs that both have do, and which of the different pairs are not explained by
    a tie: two candidates of a row whose margins, computed in 64 bits, are equal to within the rounding of 32-bit products. One
    tool then takes the one and one the other, and the greedy choice gives away what was left over; so a pair that shares a row
    with an explained one is explained."""
    import pyarrow.parquet as pq

    def pairs(path):
        table = pq.ParquetFile(path).read().to_pydict()
        return {(int(s), int(t)): m for s, t, m in zip(table["source_id"], table["target_id"], table["margin"])}

    a, b = pairs(one), pairs(other)
    both, different = a.keys() & b.keys(), a.keys() ^ b.keys()
    largest = max((abs(a[pair] - b[pair]) for pair in both), default=0.0)
    explained = set()
    if different:
        sides = [load(path).astype(np.float64) for path in (source, target)]
        sides = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides]
        explained = {pair for pair in different if tied(sides, pair[0]) or tied(sides[::-1], pair[1])}
        while more := {pair for pair in different - explained if any(pair[0] == e[0] or pair[1] == e[1] for e in explained)}:
            explained |= more
    unexplained = sorted(different - explained)
    print(json.dumps({"pairs": len(a), "different": len(different), "unexplained": unexplained, "largest": float(largest)}))


def tied(sides, row):
    """Whether the two best candidates of a row of the first side are equal to within rounding."""
    (own, other) = sides
    cosines = other @ own[row]
    candidates = np.argsort(-cosines, kind="stable")[:NEIGHBOURS]
    mean = cosines[candidates].mean()
    backward = [np.sort(own @ other[candidate])[-NEIGHBOURS:].mean() for candidate in candidates]
    margins = np.sort(cosines[candidates] / ((mean + np.array(backward)) / 2))
    return margins[-1] - margins[-2] <= ROUNDING


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--make", rows, width, source, target]:
            make(int(rows), int(width), source, target)
        case ["--compare", one, other, source, target]:
            compare(one, other, source, target)
        case [source, target, output]:
            mine(source, target, output)
        case _:
            sys.exit(__doc__)
