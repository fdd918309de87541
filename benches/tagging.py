"""`make compare-tagging`: a pretrained encoder fine-tuned for part-of-speech tagging by Trestle and by transformers.

Runs the study of tests/real/studies/tagging.toml through the command line, and the same settings through
peers/tagging_torch.py, once a seed, and scores the predictions of both with `trestle score` (seqeval's F1, as XTREME has it) and
by counting words (token accuracy). The claim is that the means over the seeds are within one point in every language; the exit
code is 9 where they are not. Scores in languages that the encoder hardly knows move by points from seed to seed, on either side:
each difference has its standard error over the seeds beside it, and one seed decides nothing. Losses stand side by side, as means
over stretches of steps.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
TASKS = HERE.parent / "tests/real"
# The languages that the official score of the task asks for.
OFFICIAL = "af ar bg de el en es et eu fa fi fr he hi hu id it ja kk ko mr nl pt ru ta te th tl tr ur vi yo zh".split()
DEFAULTS = {"epochs": 3.0, "batch_size": 32, "warmup_share": 0.1, "weight_decay": 0.01, "adam_epsilon": 1e-8, "max_grad_norm": 1.0}
WITHIN = 1.0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trestle", required=True, type=Path, help="the binary")
    parser.add_argument("--data", required=True, type=Path, help="the directory that holds udpos/xtreme")
    parser.add_argument("--encoder", required=True, type=Path, help="a Hugging Face model directory")
    parser.add_argument("--seeds", default="1", help="with commas between")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--output", type=Path, help="where to write every figure, JSON")
    arguments = parser.parse_args()
    settings = study()
    print(f"settings: {json.dumps(settings['hyperparameters'])}; limits {settings['limits']}, {settings['max_length']} tokens at most")
    runs = []
    with tempfile.TemporaryDirectory(prefix="tagging-") as scratch:
        labels = Path(scratch) / "labels"
        gold = {language: tags_of(arguments, settings, language) for language in settings["languages"]}
        write(labels, gold)
        for seed in arguments.seeds.split(","):
            root = Path(scratch) / seed
            ours = trestle(arguments, settings, root, seed)
            theirs = peer(arguments, settings, root, seed)
            if ours["instances"] != theirs["instances"] or len(ours["losses"]) != len(theirs["losses"]):
                sys.exit(f"not the same work: {ours['instances']} and {theirs['instances']} training instances,"
                         f" {len(ours['losses'])} and {len(theirs['losses'])} steps")  # fmt: skip
            for run in (ours, theirs):
                run["scores"] = scores(arguments, labels, gold, run.pop("folder"))
            check_own_scores(ours)
            runs.append({"seed": int(seed), "trestle": ours, "transformers": theirs})
            print_losses(seed, ours["losses"], theirs["losses"])
    worst = print_scores(settings, runs)
    print(f"transformers' side: {', '.join(f'{name} {version}' for name, version in runs[0]['transformers']['versions'].items())}")
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps({"settings": settings, "runs": runs}, indent=1) + "\n")
    if worst > WITHIN:
        print(f"the largest difference of means, {worst:.2f}, is more than {WITHIN} points", file=sys.stderr)
        sys.exit(9)


def study():
    """The study's settings, for the peer."""
    text = tomllib.loads((TASKS / "studies/tagging.toml").read_text())
    task = tomllib.loads((TASKS / "udpos.toml").read_text())
    model = tomllib.loads((HERE.parent / f"pipeline/models/{text['model']}.toml").read_text())
    return {
        "labels": task["labels"],
        "languages": text["languages"],
        "limits": text["limits"],
        "max_length": model["lengths"]["default"],
        "hyperparameters": DEFAULTS | text["defaults"],
    }


def output_of(command):
    found = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE)
    if found.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed with {found.returncode}")
    return found.stdout


def trestle(arguments, settings, root, seed):
    """The study through the command line; its predictions in the layout of a submission."""
    own = ["--home", root / "home"]
    # One worker: the training has all the threads.
    environment = ["taskset", "--cpu-list", f"0-{arguments.threads - 1}"] if arguments.threads < os.cpu_count() else []
    output_of([
        *environment, arguments.trestle, "run", "tagging", "--tasks", TASKS, "--data", arguments.data, "--encoder", arguments.encoder,
        "--device", "flex", "--seed", seed, "--workers", "1", "--quiet", "--allow-count-drift", *own,
    ])  # fmt: skip

    def query(sql):
        return json.loads(output_of([arguments.trestle, "query", sql, "--format", "json", *own]))

    rows = query("SELECT language, prediction FROM predictions WHERE target = 'udpos' AND row = 'none'")
    tagged = {}
    for row in rows:
        tagged.setdefault(row["language"], []).append(row["prediction"].split(" "))
    write(root / "trestle", tagged)
    log = query("SELECT step, loss FROM training_log WHERE loss IS NOT NULL ORDER BY step")
    scored = query("SELECT language, metric, value FROM scores WHERE target = 'udpos' AND row = 'none'")
    training = [json.loads(path.read_text()) for path in (root / "home").glob("artifacts/train/*/manifest.json")]
    return {
        "folder": root / "trestle",
        "losses": [row["loss"] for row in log],
        "instances": training[0]["statistics"]["instances"][0][1],
        "seconds": {"train": training[0]["seconds"]},
        "own_scores": {f"{row['language']} {row['metric']}": row["value"] for row in scored},
    }


def peer(arguments, settings, root, seed):
    folder = root / "transformers"
    found = output_of([
        sys.executable, HERE / "peers/tagging_torch.py", "--encoder", arguments.encoder, "--data", arguments.data / "udpos/xtreme",
        "--settings", json.dumps(settings), "--output", folder / "udpos", "--seed", seed, "--threads", arguments.threads,
    ])  # fmt: skip
    return json.loads(found.splitlines()[-1]) | {"folder": folder}


def tags_of(arguments, settings, language):
    """The gold tags of the sentences that are scored."""
    text = (arguments.data / f"udpos/xtreme/test-{language}.tsv").read_text(encoding="utf-8")
    blocks = [block for block in text.replace("\r", "").split("\n\n") if block.strip()]
    return [[line.split("\t")[1] for line in block.strip("\n").split("\n")] for block in blocks[: settings["limits"]["test"]]]


def write(folder, tagged):
    """A submission. The official score wants every language: those that are not compared get one word, right in both."""
    (folder / "udpos").mkdir(parents=True, exist_ok=True)
    for language in OFFICIAL:
        sentences = tagged.get(language, [["NOUN"]])
        text = "".join("".join(f"{tag}\n" for tag in tags) + "\n" for tags in sentences)
        (folder / "udpos" / f"test-{language}.tsv").write_text(text)


def read(folder, language):
    text = (folder / "udpos" / f"test-{language}.tsv").read_text()
    return [block.split("\n") for block in text.strip("\n").split("\n\n")]


def scores(arguments, labels, gold, folder):
    for language in OFFICIAL:
        path = folder / "udpos" / f"test-{language}.tsv"
        if not path.exists():
            path.write_text("NOUN\n\n")
    command = [arguments.trestle, "score", "--predictions", folder, "--labels", labels, "--suite", "xtreme", "--task", "udpos", "--json"]
    official = json.loads(output_of(command))
    f1 = next(dict(row["languages"]) for row in official if row["metric"] == "f1")
    found = {}
    for language, sentences in gold.items():
        pairs = [(a, b) for x, y in zip(sentences, read(folder, language), strict=True) for a, b in zip(x, y, strict=True)]
        found[language] = {"f1": f1[language], "accuracy": 100 * sum(a == b for a, b in pairs) / len(pairs)}
    return found


def check_own_scores(ours):
    """What the study says of itself must be what its predictions score."""
    for language, found in ours["scores"].items():
        for metric, name in (("f1", "f1"), ("accuracy", "token_accuracy")):
            told = ours["own_scores"][f"{language} {name}"]
            if abs(told - found[metric]) > 1e-6:
                sys.exit(f"{language} {name}: the study says {told}, its predictions score {found[metric]}")


def print_losses(seed, ours, theirs):
    print(f"\nloss, seed {seed}: means over the steps up to each\n\n| steps | Trestle | transformers |\n|---|---|---|")
    stretch = max(len(ours) // 8, 1)
    for end in range(stretch, len(ours) + 1, stretch):
        print(f"| {end - stretch + 1}–{end} | {statistics.mean(ours[end - stretch:end]):.4f} |"
              f" {statistics.mean(theirs[end - stretch:end]):.4f} |", flush=True)  # fmt: skip


def print_scores(settings, runs):
    """The table; returns the largest difference of means."""
    seeds = ", ".join(str(run["seed"]) for run in runs)
    print(f"\nmeans over seeds {seeds}; in brackets the range; ±: standard error of the difference\n\n| language | F1 Trestle | F1 transformers | difference |"
          " accuracy Trestle | accuracy transformers | difference |\n|---|---|---|---|---|---|---|")  # fmt: skip
    worst = 0.0
    for language in settings["languages"]:
        cells = [language]
        for metric in ("f1", "accuracy"):
            values = {tool: [run[tool]["scores"][language][metric] for run in runs] for tool in ("trestle", "transformers")}
            means = {tool: statistics.mean(found) for tool, found in values.items()}
            for tool, found in values.items():
                spread = f" [{min(found):.2f}, {max(found):.2f}]" if len(found) > 1 else ""
                cells.append(f"{means[tool]:.2f}{spread}")
            difference = means["trestle"] - means["transformers"]
            worst = max(worst, abs(difference))
            cells.append(f"{difference:+.2f}{standard_error(values)}")
        print(f"| {' | '.join(cells)} |")
    return worst


def standard_error(values):
    """Of the difference of two means, where there are several seeds."""
    if any(len(found) < 2 for found in values.values()):
        return ""
    return f" ± {sum(statistics.variance(found) / len(found) for found in values.values()) ** 0.5:.2f}"


if __name__ == "__main__":
    main()
