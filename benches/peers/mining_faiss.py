"""Mines sentence pairs with faiss's exact index: what benches/mining.py compares with.

    mining_faiss.py SOURCE TARGET OUTPUT            mines; prints the seconds of the search as JSON
    mining_faiss.py --make ROWS WIDTH SOURCE TARGET draws vectors
    mining_faiss.py --compare ONE OTHER             compares two tables of pairs
"""

import json
import sys
import time

import numpy as np
from safetensors.numpy import load_file, save_file

NEIGHBOURS = 4


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
    began = time.perf_counter()
    found = []
    faiss.normalize_L2(x)
    faiss.normalize_L2(y)
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


def compare(one, other):
    """How many pairs differ, and by how much at most: by the margin of a pair that both have; where only one has it, by that
    to the margin of what the other has for the same source or target."""
    import pyarrow.parquet as pq

    def pairs(path):
        table = pq.ParquetFile(path).read().to_pydict()
        return {(int(s), int(t)): m for s, t, m in zip(table["source_id"], table["target_id"], table["margin"])}

    a, b = pairs(one), pairs(other)
    both, different = a.keys() & b.keys(), a.keys() ^ b.keys()
    largest = max((abs(a[pair] - b[pair]) for pair in both), default=0.0)
    for own, others in [(a, b), (b, a)]:
        by_source = {pair[0]: margin for pair, margin in others.items()}
        by_target = {pair[1]: margin for pair, margin in others.items()}
        for pair in own.keys() - both:
            rivals = [rival[place] for rival, place in [(by_source, pair[0]), (by_target, pair[1])] if place in rival]
            largest = max(largest, min((abs(own[pair] - rival) for rival in rivals), default=own[pair]))
    print(json.dumps({"pairs": len(a), "different": len(different), "largest": float(largest)}))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--make", rows, width, source, target]:
            make(int(rows), int(width), source, target)
        case ["--compare", one, other]:
            compare(one, other)
        case [source, target, output]:
            mine(source, target, output)
        case _:
            sys.exit(__doc__)
