"""`make bench-train`: the training bench beside the same work in PyTorch, on the same device in the same run.

For each row (a shape of encoder at a length of input) and pass (forward, or a whole training step) the two run in turn,
each in a process of its own, several times over. Printed is the median over all stretches of time of all rounds, and their
ratio: above 1, Trestle is faster. Before a row is timed, its parameters and FLOPs are held against PyTorch's own count.

On a CPU both compute in f32 and share of the peak means the larger of two matrix products' speeds: the gemm crate's and
PyTorch's. On a GPU Trestle's f16 stands beside PyTorch's autocast to bf16 and to f16. Memory is the largest resident set of
the process; on a GPU what nvidia-smi says the card holds more than before, and without nvidia-smi what each tool's own pool
reserves. A row that fails (for want of memory, say) is told as such, and the next one is measured.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEER = HERE / "peers/train_torch.py"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", required=True, help="the bench's binary")
    parser.add_argument("--device", choices=["auto", "flex", "vulkan"], default="auto")
    parser.add_argument("--precision", choices=["f32", "f16"], help="Trestle's [default: f32 on a CPU, f16 on a GPU]")
    parser.add_argument("--peers", help="PyTorch's precisions, with commas between; `none`: Trestle alone"
                        " [default: f32; beside f16: bf16,f16]")  # fmt: skip
    parser.add_argument("--rows", help="rows, with commas between [default: all]")
    parser.add_argument("--passes", default="forward,step")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--batch-tokens", type=int, help="tokens a batch, instead of each shape's own number")
    parser.add_argument("--gradient-checkpointing", action="store_true", help="both compute each layer again in the backward pass")
    parser.add_argument("--seconds", type=float, default=5.0, help="to measure each row, pass and tool, a round")
    parser.add_argument("--repeats", type=int, default=5, help="stretches into which those are cut")
    parser.add_argument("--rounds", type=int, help="how often the tools take turns [default: 2 on a CPU, 1 on a GPU]")
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds after which a process is given up")
    parser.add_argument("--output", type=Path, help="where to write every figure, JSON")
    arguments = parser.parse_args()

    try:
        measure(arguments)
    except Failed as failure:
        sys.exit(f"error: {failure}")


def measure(arguments):
    listed = bench(arguments, ["--list"])
    arguments.device = listed["kind"]
    on_gpu = arguments.device == "vulkan"
    arguments.precision = arguments.precision or ("f16" if on_gpu else "f32")
    arguments.rounds = arguments.rounds or (1 if on_gpu else 2)
    kinds = (arguments.peers or ("f32" if arguments.precision == "f32" else "bf16,f16")).split(",")
    tools = ["trestle", *(f"pytorch {kind}" for kind in kinds if kind != "none")]

    load = os.getloadavg()[0]
    print(f"device: {listed['device']}; threads: {arguments.threads}; load average before: {load:.1f} on {os.cpu_count()} cores")
    peaks = measure_peaks(arguments, tools)
    report = {"device": listed["device"], "threads": arguments.threads, "load_before": load, "peaks": peaks, "results": []}
    print_head(tools)
    for row in listed["rows"]:
        if len(tools) > 1:
            hold_against_count(arguments, row)
        for work in arguments.passes.split(","):
            runs = take_turns(arguments, tools, row, work)
            report["results"].append(summary(row, work, runs, peaks))
            print_line(report["results"][-1], tools)
            if arguments.output:
                # After each row: what was measured stays, whatever comes.
                arguments.output.parent.mkdir(parents=True, exist_ok=True)
                arguments.output.write_text(json.dumps(report, indent=1) + "\n")
    print_notes(report["results"], tools)
    if arguments.output:
        print(f"every figure: {arguments.output}")


def take_turns(arguments, tools, row, work):
    """The results of each tool, round by round; none of a tool that failed once."""
    runs = {tool: [] for tool in tools}
    failed = set()
    for _ in range(arguments.rounds):
        for tool in tools:
            if tool in failed:
                continue
            try:
                runs[tool].append(one(arguments, tool, row, work))
            except Failed as failure:
                print(f"{row['row']} {work}: {tool} {failure}", file=sys.stderr)
                runs[tool] = []
                failed.add(tool)
    return runs


class Failed(Exception):
    """A process that ended without a result."""


def call(arguments, command):
    """The JSON object that a command prints last."""
    command = [str(part) for part in command]
    try:
        found = subprocess.run(command, stdout=subprocess.PIPE, timeout=arguments.timeout)
    except subprocess.TimeoutExpired:
        raise Failed(f"no result after {arguments.timeout:.0f} s") from None
    if found.returncode != 0:
        raise Failed(f"ended with {found.returncode}")
    return json.loads(found.stdout.splitlines()[-1])


def bench(arguments, more):
    command = [arguments.bench, "--json", "--device", arguments.device, "--threads", arguments.threads]
    if arguments.rows and "--rows" not in more:
        command += ["--rows", arguments.rows]
    if arguments.batch_tokens:
        command += ["--batch-tokens", arguments.batch_tokens]
    return call(arguments, [*command, *more])


def peer(arguments, kind, more):
    device = "cuda" if arguments.device == "vulkan" else "cpu"
    return call(arguments, [sys.executable, PEER, "--device", device, "--precision", kind, "--threads", arguments.threads, *more])


def measure_peaks(arguments, tools):
    """What each tool says the device could do, FLOP/s; on a CPU both are shares of the larger."""
    peaks = {}
    for tool in tools:
        if tool == "trestle":
            peaks[tool] = bench(arguments, ["--peak", "--precision", arguments.precision])
        else:
            peaks[tool] = peer(arguments, tool.split()[1], ["--peak"])
        reached = peaks[tool].get("product_flops") or peaks[tool]["flops"]
        print(f"peak by {tool}: {peaks[tool]['flops'] / 1e9:,.0f} GFLOP/s ({peaks[tool]['source']}; a product reaches {reached / 1e9:,.0f})")
    ours = peaks["trestle"]
    highest = max(peak["flops"] for peak in peaks.values())
    for peak in peaks.values():
        # On a card whose maker's figure is known, that is the peak of both.
        peak["used"] = ours["flops"] if "maker" in ours["source"] else highest
    return peaks


def hold_against_count(arguments, row):
    """Ends where the peer's model is another or the formula for FLOPs is wrong by more than the head's few."""
    counted = peer(arguments, "f32", ["--count", "--row", json.dumps(row)])
    row["parameters"] = counted["parameters"]
    off = abs(row["forward_flops"] / counted["forward_flops"] - 1)
    if off > 0.01:
        sys.exit(f"{row['row']}: the formula has {row['forward_flops']:.0f} FLOPs a token, PyTorch counts {counted['forward_flops']:.0f}")


def one(arguments, tool, row, work):
    """One process of one tool, with the memory that the card holds while it runs, where nvidia-smi tells."""
    times = ["--seconds", arguments.seconds, "--repeats", arguments.repeats]
    if arguments.gradient_checkpointing:
        times.append("--gradient-checkpointing")
    card = Card() if arguments.device == "vulkan" else None
    try:
        if tool == "trestle":
            more = ["--rows", row["row"], "--passes", work, "--precision", arguments.precision]
            measured = bench(arguments, [*more, *times])
        else:
            measured = peer(arguments, tool.split()[1], ["--row", json.dumps(row), "--pass", work, *times])
    finally:
        held = card.most() if card else None
    measured["card_bytes"] = held
    if row.get("parameters", measured["parameters"]) != measured["parameters"]:
        sys.exit(f"{row['row']}: {tool} has {measured['parameters']} parameters, PyTorch counted {row['parameters']}")
    return measured


class Card:
    """Watches the memory in use on the first card, in bytes."""

    def __init__(self):
        self.before = self.held = self.read()
        self.done = threading.Event()
        self.watcher = threading.Thread(target=self.watch, daemon=True)
        self.watcher.start()

    @staticmethod
    def read():
        query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"]
        try:
            return int(subprocess.run(query, capture_output=True, text=True, check=True).stdout) << 20
        except (OSError, ValueError, subprocess.CalledProcessError):
            return None

    def watch(self):
        while self.before is not None and not self.done.wait(0.2):
            self.held = max(self.held, self.read() or 0)

    def most(self):
        self.done.set()
        self.watcher.join()
        return None if self.before is None else self.held - self.before


def summary(row, work, runs, peaks):
    found = {}
    for tool, measured in runs.items():
        if not measured:
            continue
        seconds = [second for run in measured for second in run["seconds"]]
        tokens = row["rows"] * row["positions"]
        median = statistics.median(seconds)
        flops = measured[0]["flops_per_token"] * tokens / median
        memory = [run.get("card_bytes") or run.get("device_bytes") or run["resident_bytes"] or 0 for run in measured]
        found[tool] = {
            "tokens_per_second": tokens / median,
            "best_tokens_per_second": tokens / min(seconds),
            "flops_per_second": flops,
            "share_of_peak": flops / peaks[tool]["used"],
            "memory_bytes": max(memory),
            "runs": measured,
        }
    return {"row": row["row"], "pass": work, "rows": row["rows"], "positions": row["positions"], "tools": found}


def print_head(tools):
    peers = tools[1:]
    cells = ["row", "pass", "batch", "Trestle", *peers, *(f"ratio {peer.split()[1]} (of bests)" for peer in peers),
             "GFLOP/s", "of peak", *(f"{peer}'s" for peer in peers), "memory MiB", *(f"{peer}'s" for peer in peers)]  # fmt: skip
    print(f"\ntokens a second, medians; ratio: Trestle to PyTorch\n\n| {' | '.join(cells)} |\n|{'---|' * len(cells)}", flush=True)


def print_line(result, tools):
    found = [result["tools"].get(tool) for tool in tools]
    ours, peers = found[0], found[1:]

    def cell(of, tool):
        return of(tool) if tool else "failed"

    cells = [result["row"], result["pass"], f"{result['rows']}×{result['positions']}"]
    cells += [cell(lambda tool: f"{tool['tokens_per_second']:,.0f}", tool) for tool in found]
    for peer in peers:
        if ours and peer:
            ratios = [ours[figure] / peer[figure] for figure in ("tokens_per_second", "best_tokens_per_second")]
            cells.append(f"{ratios[0]:.2f} ({ratios[1]:.2f})")
        else:
            cells.append("–")
    cells.append(cell(lambda tool: f"{tool['flops_per_second'] / 1e9:,.1f}", ours))
    cells += [cell(lambda tool: f"{100 * tool['share_of_peak']:.0f}%", tool) for tool in found]
    cells += [cell(lambda tool: f"{tool['memory_bytes'] / 2**20:,.0f}", tool) for tool in found]
    print(f"| {' | '.join(cells)} |", flush=True)


def print_notes(results, tools):
    print()
    for tool in tools[1:]:
        both = [result for result in results if {"trestle", tool} <= result["tools"].keys()]
        for work in dict.fromkeys(result["pass"] for result in both):
            speeds = [result["tools"] for result in both if result["pass"] == work]
            ratios = [speed["trestle"]["tokens_per_second"] / speed[tool]["tokens_per_second"] for speed in speeds]
            mean = statistics.geometric_mean(ratios)
            print(f"{work}: {min(ratios):.2f} to {max(ratios):.2f} of {tool}, geometric mean {mean:.2f}")
    versions = [run["versions"] for result in results for tool in result["tools"].values() for run in tool["runs"] if "versions" in run]
    if versions:
        print("PyTorch's side: " + ", ".join(f"{name} {version}" for name, version in versions[0].items()) + "; torch.compile off")
    print(f"load average after: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
