"""Part of `make bench-score`: mining sentence pairs beside faiss-cpu's exact index, over the same vectors in the same run.

Vectors are drawn here, seeded: two sides in a thousand clusters, a tenth of the rows being noisy copies of rows of the other side. Each
tool reads both files, scales the vectors, finds the four nearest rows of the other side for every row of both, and mines pairs by ratio
margin (`trestle mine`; peers/mining_faiss.py), in turns, each in a process of its own with the same number of threads. Printed are the
seconds of the search and of the mining in it, without reading and scaling; of the whole process; and the largest resident set. The best
round counts. The pairs must be the same: where one side has another, it must be a tie to within the rounding of 32-bit products.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEER = HERE / "peers/mining_faiss.py"
# Margins are quotients of sums of four cosines, each of which may be off by some 1e-7.
ROUNDING = 2e-6


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trestle", required=True, help="the binary")
    parser.add_argument("--python", default=sys.executable, help="an interpreter that has faiss-cpu, numpy, pyarrow and safetensors")
    parser.add_argument("--rows", type=int, default=100_000, help="vectors of each side")
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="flex", help="of Trestle")
    parser.add_argument("--memory", default="4GB", help="of Trestle; little of it makes vectors lie in scratch files")
    parser.add_argument("--folder", type=Path, default=Path("target/bench-mining"), help="where the files go")
    parser.add_argument("--output", type=Path, help="where to write every figure, JSON")
    arguments = parser.parse_args()

    arguments.folder.mkdir(parents=True, exist_ok=True)
    sides = [arguments.folder / f"{side}-{arguments.rows}-{arguments.width}.safetensors" for side in ("source", "target")]
    if not all(side.exists() for side in sides):
        # In a process of its own: a child's largest resident set begins with this one's.
        subprocess.run([arguments.python, PEER, "--make", str(arguments.rows), str(arguments.width), *sides], check=True)
    pairs = {tool: arguments.folder / f"{tool}.parquet" for tool in ("trestle", "faiss")}
    threads = str(arguments.threads)
    environment = dict(os.environ, RAYON_NUM_THREADS=threads, OMP_NUM_THREADS=threads, OPENBLAS_NUM_THREADS=threads)
    commands = {
        "trestle": [arguments.trestle, "mine", "--source", sides[0], "--target", sides[1], "--output", pairs["trestle"], "--json",
                    "--quiet", "--device", arguments.device, "--memory", arguments.memory],
        "faiss": [arguments.python, PEER, *sides, pairs["faiss"]],
    }  # fmt: skip
    best = {}
    for _ in range(arguments.rounds):
        for tool, command in commands.items():
            found = measured(command, environment)
            known = best.setdefault(tool, found)
            best[tool] = {name: min(value, known[name]) for name, value in found.items()}
    print(f"{arguments.rows} x {arguments.rows} vectors of {arguments.width} numbers, {threads} threads")
    print(f"{'':<8} {'search s':>9} {'whole s':>9} {'MiB':>7}")
    for tool, figures in best.items():
        print(f"{tool:<8} {figures['search']:>9.2f} {figures['whole']:>9.2f} {figures['memory'] / 1024:>7.0f}")
    ratio = best["faiss"]["search"] / best["trestle"]["search"]
    print(f"Trestle is {ratio:.2f} times as fast in the search.")
    compared = subprocess.run([arguments.python, PEER, "--compare", *pairs.values(), *sides], check=True, capture_output=True)
    compared = json.loads(compared.stdout)
    print(
        f"pairs: {compared['pairs']}, {compared['different']} different ({len(compared['unexplained'])} not by a tie); "
        f"margins differ by {compared['largest']:.1e} at most"
    )
    if arguments.output:
        figures = {"rows": arguments.rows, "width": arguments.width, "threads": arguments.threads, "tools": best, "ratio": ratio, **compared}
        arguments.output.write_text(json.dumps(figures, indent=1))
    if compared["unexplained"] or compared["largest"] > ROUNDING:
        sys.exit("error: the pairs differ by more than rounding")


def measured(command, environment):
    began = time.perf_counter()
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, env=environment)
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{command[0]} failed with status {status}")
    return {"search": json.loads(said)["searching_seconds"], "whole": time.perf_counter() - began, "memory": usage.ru_maxrss}


if __name__ == "__main__":
    main()
