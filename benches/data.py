"""`make bench-data`: raw bytes to tokenised Parquet, Trestle beside the Hugging Face libraries, on the same files.

Runs the tools in turn, several times over, each time into a fresh directory, and prints medians: wall time, processor
time and peak memory, by task and in all, and where Trestle's time goes. The ids of every row are compared in each
round; a difference that is not explained below fails the run. With `--scale`, goes on to Trestle alone at 10,000 to
10^N examples (real rows, numbered so that none is like another): cost per example and peak memory.

Memory is polled from /proc: the proportional set size (which counts shared pages once) summed over a tool's processes
four times a second, and the largest resident set of one process forty times. So this needs Linux.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
TASKS = (
    "xnli pawsx mnli snli udpos panx squad_v1 squad_v2 xquad mlqa mlqa_cross tydiqa commonsenseqa cosmosqa hellaswag "
    "tatoeba bucc2018"
).split()
# Of the model `xlm-roberta-base`: lengths of sequences and of questions, and two ids.
MAX_LENGTH, MAX_QUESTION = 256, 64
END, UNKNOWN = 2, 3
# Columns of Trestle's tables, and what the peer calls them.
COMPARED = [
    ("input_ids", "input_ids"),
    ("choice_input_ids", "input_ids"),
    ("label", "label"),
    ("labels", "labels"),
    ("start_position", "start_position"),
    ("end_position", "end_position"),
]


class Measured:
    """What a command cost."""

    def __init__(self, command, errors):
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
        self.shared, self.largest = 0, 0
        watcher = threading.Thread(target=self.watch, args=[process], daemon=True)
        watcher.start()
        self.output = process.stdout.read()
        # wait4 also tells the processor time of the children that the process has waited for.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.wall = time.perf_counter() - began
        self.processor = usage.ru_utime + usage.ru_stime
        watcher.join()
        if process.returncode != 0:
            sys.exit(f"{' '.join(map(str, command))} failed with {process.returncode}; see {errors.name}")

    def watch(self, process):
        # Not `ru_maxrss`: a child's begins with this process's own, of which it is a copy before it becomes another.
        for turn in itertools.count():
            if process.returncode is not None:
                return
            processes = list(tree(process.pid))
            self.largest = max([self.largest, *(field(f"/proc/{pid}/status", "VmHWM:") for pid in processes)])
            # Adding up a large process takes milliseconds of its time and ours.
            if turn % 10 == 0:
                self.shared = max(self.shared, sum(field(f"/proc/{pid}/smaps_rollup", "Pss:") for pid in processes))
            time.sleep(0.025)


def tree(pid):
    """A process and its descendants."""
    yield pid
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                yield from tree(int(child))
    except OSError:
        return


def field(path, name):
    """A number of KiB from a file of /proc; 0 where the process is gone."""
    try:
        for line in Path(path).read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


def trestle(arguments, names, home, errors):
    command = [
        arguments.trestle, "tokenize", "--data", arguments.data, "--tasks", arguments.tasks, "--model", "xlm-roberta-base",
        "--tokenizer", arguments.tokenizer, "--task", ",".join(names), "--home", home, "--workers", "1", "--quiet",
    ]  # fmt: skip
    cost = Measured(command, errors)
    cost.stages = manifests(home)
    return cost


def manifests(home):
    """The manifests of a store's artifacts, by stage and task."""
    found = {}
    for path in Path(home).glob("artifacts/*/*/manifest.json"):
        manifest = json.loads(path.read_text())
        found[manifest["stage"], manifest["label"].rsplit("/", 1)[-1]] = manifest | {"directory": path.parent}
    return found


def peer(arguments, names, output, errors, processes):
    command = [
        sys.executable, HERE / "peers/data_hf.py", "--data", arguments.data, "--tokenizer", arguments.tokenizer,
        "--output", output, "--task", ",".join(names), "--processes", str(processes),
    ]  # fmt: skip
    cost = Measured(command, errors)
    cost.report = json.loads(cost.output.splitlines()[-1])
    return cost


def column(table, name):
    """A column without chunks."""
    return table[name].combine_chunks()


def differing(ours, theirs):
    """The indices of rows in which two columns differ; all of them where there are not as many."""
    if len(ours) != len(theirs):
        return list(range(max(len(ours), len(theirs))))
    theirs = theirs.cast(ours.type)
    if ours.equals(theirs):
        return []
    return [row for row, (a, b) in enumerate(zip(ours.to_pylist(), theirs.to_pylist())) if a != b]


def compare(directory, file, sources):
    """Rows compared, rows that differ, and rows whose difference is explained (see `explained`), of one task."""
    parts = [directory / f"split={split}/language={language}/part-00000.parquet" for split, language in sources]
    # Read one by one: a reader of datasets would take the directories' names for columns.
    ours = pa.concat_tables([pq.ParquetFile(part).read() for part in parts])
    theirs = pq.read_table(file)
    if "word_positions" in ours.column_names:
        # The peer goes on no further than the first window.
        ours = ours.filter(pc.equal(ours["window"], 0))
        theirs = theirs.set_column(theirs.column_names.index("labels"), "labels", of_words(column(theirs, "labels")))
    differ = set()
    for mine, other in COMPARED:
        if mine in ours.column_names and other in theirs.column_names:
            differ |= set(differing(column(ours, mine), column(theirs, other)))
    rows = {row: (ours.slice(row, 1).to_pylist(), theirs.slice(row, 1).to_pylist()) for row in differ}
    unexplained = [row for row, (a, b) in rows.items() if not (a and b and explained(a[0], b[0]))]
    return len(ours), sorted(unexplained), len(differ) - len(unexplained)


def of_words(labels):
    """Lists of labels without those of special tokens and later sub-words, which are -100."""
    flat, parents = pc.list_flatten(labels), pc.list_parent_indices(labels)
    kept = pc.not_equal(flat, -100)
    counts = pc.value_counts(parents.filter(kept))
    sizes = dict(zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist()))
    offsets = [0, *itertools.accumulate(sizes.get(row, 0) for row in range(len(labels)))]
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat.filter(kept).cast(pa.int32()))


def explained(mine, other):
    """Whether two different rows are as they should be. There are four reasons.

    - Tagging: a sentence has more sub-words than fit. The peer cuts it off in the middle of a word; Trestle ends the
      sequence at a word and makes another of the rest, or writes the unknown token for a word that fits no sequence.
    - Tagging: a word has no sub-word at all (a lone byte order mark). Trestle writes the unknown token, so that each word
      has a place to stand at; the peer leaves the word and its label out.
    - Questions: one has more sub-words than a question may have. Trestle cuts it by sub-words, the peer by characters.
    - Answers: the last token is an empty `\u2581` before a full-width character, to which the peer's library gives that
      character's place, though nothing of the text. The tokens span the same text.
    """
    ids, others = mine["input_ids"], other["input_ids"]
    if "labels" in mine:
        if [token for token in ids if token != UNKNOWN] == [token for token in others if token != UNKNOWN]:
            return ids != others
        same = next((at for at, (a, b) in enumerate(zip(ids, others)) if a != b), 0)
        return len(others) == MAX_LENGTH and ids[same] in (END, UNKNOWN)
    if "context_begin" in mine:
        if mine["context_begin"] >= MAX_QUESTION + 3:
            return True
        offsets = mine["offsets"]
        between = range(other["end_position"], mine["end_position"])
        empty = between and all(offsets[2 * token] == offsets[2 * token + 1] for token in between)
        return ids == others and mine["start_position"] == other["start_position"] and bool(empty)
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="the directory with the raw files that tests/real names")
    parser.add_argument("--trestle", required=True, help="the binary")
    parser.add_argument("--tokenizer", help="a tokenizer.json [default: xlmr/tokenizer.json below the data]")
    parser.add_argument("--tasks", default="tests/real", help="the directory of the task files")
    parser.add_argument("--task", default=",".join(TASKS), help="tasks, with commas between")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=int, default=0, help="go on to Trestle alone at 10^4 to 10^N examples")
    arguments = parser.parse_args()
    arguments.tokenizer = arguments.tokenizer or f"{arguments.data}/xlmr/tokenizer.json"
    names = arguments.task.split(",")
    if arguments.rounds:
        side_by_side(arguments, names)
    if arguments.scale:
        scale(arguments)


def side_by_side(arguments, names):
    tools = {
        "trestle": lambda output, errors: trestle(arguments, names, output, errors),
        "peer, 2 processes": lambda output, errors: peer(arguments, names, output, errors, 2),
        "peer, 1 process": lambda output, errors: peer(arguments, names, output, errors, 1),
    }
    costs = {tool: [] for tool in tools}
    compared, wrong = {}, 0
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory(prefix="bench-data-") as root:
            outputs = {}
            for tool, run in tools.items():
                outputs[tool] = Path(root) / tool.replace(" ", "-")
                outputs[tool].mkdir()
                with open(Path(tempfile.gettempdir()) / "bench-data.stderr", "w+") as errors:
                    costs[tool].append(run(outputs[tool], errors))
            stages = costs["trestle"][-1].stages
            for tool in list(tools)[1:]:
                for name, told in costs[tool][-1].report["tasks"].items():
                    theirs = outputs[tool] / f"{name}.parquet"
                    rows, differ, explained = compare(stages["tokenize", name]["directory"], theirs, told["sources"])
                    compared[name] = rows, len(differ), explained
                    wrong += len(differ)
                    if differ:
                        message = f"{name}: {len(differ)} of {rows} rows differ from {tool}, as rows {differ[:5]}"
                        print(message, file=sys.stderr)
    report(costs, names, compared)
    if wrong:
        sys.exit("the tools do not give the same model inputs")


def median(values):
    return statistics.median(values)


def report(costs, names, compared):
    ours = costs["trestle"]
    versions = costs["peer, 1 process"][-1].report["versions"]
    rounds = len(ours)
    examples = sum(task["examples"] for task in costs["peer, 1 process"][-1].report["tasks"].values())
    print(f"raw files to tokenised Parquet: {examples:,} examples, {rounds} rounds, medians; peer: "
          + ", ".join(f"{name} {version}" for name, version in versions.items()))  # fmt: skip
    print(f"load average: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    print(f"{'':20} {'wall s':>8} {'cpu s':>8} {'peak MiB, all':>14} {'one process':>12}"
          f" {'times wall':>11} {'cpu':>6} {'memory':>7}")  # fmt: skip
    mine = [median(getattr(cost, name) for cost in ours) for name in ("wall", "processor", "shared", "largest")]
    for tool, runs in costs.items():
        wall, processor, shared, largest = (
            median(getattr(cost, name) for cost in runs) for name in ("wall", "processor", "shared", "largest")
        )
        print(f"{tool:20} {wall:8.2f} {processor:8.2f} {shared / 1024:14.0f} {largest / 1024:12.0f} "
              f"{wall / mine[0]:11.2f} {processor / mine[1]:6.2f} {shared / mine[2]:7.2f}")  # fmt: skip

    print(f"\n{'task':15} {'examples':>9} {'rows':>8} {'differ':>7} {'told':>5} {'trestle s':>10} {'2 proc. s':>10}"
          f" {'1 proc. s':>10} {'ratios':>12}")  # fmt: skip
    for name in names:
        stages = [[cost.stages[stage, name]["seconds"] for stage in ("normalize", "tokenize")] for cost in ours]
        seconds = median(map(sum, stages))
        peers = [
            median(cost.report["tasks"][name]["seconds"] for cost in costs[tool])
            for tool in ("peer, 2 processes", "peer, 1 process")
        ]
        rows, differ, explained = compared[name]
        told = costs["peer, 1 process"][-1].report["tasks"][name]["examples"]
        print(f"{name:15} {told:9,} {rows:8,} {differ:7} {explained:5} {seconds:10.2f} {peers[0]:10.2f} {peers[1]:10.2f}"
              f" {peers[0] / seconds:6.1f} {peers[1] / seconds:5.1f}")  # fmt: skip

    print("\n(told: rows that differ for a reason that `explained` in this script gives)")
    print("where Trestle's time goes, seconds of work over all tasks; steps overlap")
    spent(ours)


def spent(runs):
    """Prints the seconds of each stage and step."""
    for stage in ("normalize", "tokenize"):
        wall = median(sum(m["seconds"] for (s, _), m in cost.stages.items() if s == stage) for cost in runs)
        steps = {}
        for cost in runs:
            for (found, _), manifest in cost.stages.items():
                if found == stage:
                    for step, seconds in manifest["statistics"].get("seconds", {}).items():
                        steps[step] = steps.get(step, 0) + seconds / len(runs)
        told = ", ".join(f"{step} {seconds:.2f}" for step, seconds in steps.items())
        print(f"{stage:10} {wall:6.2f} wall{': ' if told else ''}{told}")


SCALE_TASK = """
id = "scale"
format = "pair-classification"
role = "intermediate"
labels = ["entailment", "neutral", "contradiction"]
license = "CC BY-NC 4.0"
domain = ["ten genres of MultiNLI"]
citation = "arXiv:1809.05053"
[source.directory]
layout = "scale"
reader = "tsv"
columns = ["id", "premise", "hypothesis", "label"]
files = { train = "pairs.tsv" }
[normalize]
sql = "SELECT id AS example_id, premise AS text_a, hypothesis AS text_b, label FROM raw"
"""


def scale(arguments):
    """Trestle alone on the pairs of XNLI's development sets, over and over, each copy's number before its texts."""
    lines = [
        line
        for file in sorted(Path(arguments.data).glob("xnli/xtreme/dev-*.tsv"))
        for line in file.read_text(encoding="utf-8").splitlines()
    ]
    print(f"\nTrestle alone, microseconds an example\n{'examples':>10} {'raw MiB':>8} {'wall s':>8} {'wall us':>8}"
          f" {'normalize':>10} {'tokenize':>9} {'cpu us':>7} {'peak MiB':>9}")  # fmt: skip
    for power in range(4, arguments.scale + 1):
        with tempfile.TemporaryDirectory(prefix="bench-scale-") as root:
            root = Path(root)
            (root / "tasks").mkdir()
            (root / "tasks/scale.toml").write_text(SCALE_TASK)
            (root / "data/scale").mkdir(parents=True)
            raw = root / "data/scale/pairs.tsv"
            with open(raw, "w", encoding="utf-8") as output:
                for number in range(10**power):
                    premise, hypothesis, label = lines[number % len(lines)].split("\t")
                    copy = number // len(lines)
                    output.write(f"pair-{number}\t{copy} {premise}\t{copy} {hypothesis}\t{label}\n")
            command = [
                arguments.trestle, "tokenize", "--data", root / "data", "--tasks", root / "tasks", "--model",
                "xlm-roberta-base", "--tokenizer", arguments.tokenizer, "--task", "scale", "--home", root / "store",
                "--workers", "1", "--quiet",
            ]  # fmt: skip
            with open(Path(tempfile.gettempdir()) / "bench-data.stderr", "w+") as errors:
                cost = Measured(command, errors)
            stages = manifests(root / "store")
            each = [stages[stage, "scale"]["seconds"] * 1e6 / 10**power for stage in ("normalize", "tokenize")]
            print(f"{10**power:10,} {raw.stat().st_size / 2**20:8.0f} {cost.wall:8.2f} {cost.wall * 1e6 / 10**power:8.1f} "
                  f"{each[0]:10.1f} {each[1]:9.1f} {cost.processor * 1e6 / 10**power:7.1f} {cost.largest / 1024:9.0f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
