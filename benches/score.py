"""`make bench-score`: scoring beside the Python scripts that people run, over the same files in the same run.

A million predictions of each kind are made up here, seeded: labels, tags (a million sentences), SQuAD answers and MLQA answers in
its seven languages, in XTREME's layout. Each kind is then scored by `trestle score` and by the script, in turn, each in a process
of its own, and the numbers must be equal. Printed are the rows a second from file to number, their ratio (above 1, Trestle is
faster), the same for the pure scoring, without start-up, reading and parsing; the ratio of the processor's seconds (which other
work on the machine disturbs less, and which does not reward Trestle for using several cores); and the largest resident sets.

The scripts come from the package index (benches/peers/requirements-score.txt): seqeval 0.0.12; the SQuAD v1.1 script as
tf-models-official carries it; MLQA's as lm-evaluation-harness does, with the regular expression for Arabic put back to the
original's (peers/score_python.py). Labels are compared by the three lines of XTREME's `evaluate.py`'s rule.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEER = HERE / "peers/score_python.py"

LANGUAGES = {
    "labels": ("xnli", "ar bg de el en es fr hi ru sw th tr ur vi zh".split()),
    "tags": ("panx", "ar he vi id jv ms tl eu ml ta te af nl en de el bn hi mr ur fa fr it pt es bg ru ja ka ko th sw yo my zh kk tr et fi hu".split()),
    "squad": ("xquad", "en es de el ru tr ar vi th zh hi".split()),
    "mlqa": ("mlqa", "en es de ar hi vi zh".split()),
}  # fmt: skip
# Ranges of letters to draw words from; a language has those of its script.
LETTERS = {
    "ar": "ابتثجحخدذرزسشصضطظعغفقكلمنهوية", "el": "αβγδεζηθικλμνξοπρσςτυφχψωΑΒΓΔΣ", "hi": "अआइईउऊएकखगघचछजझटडतथदधनपफबभमयरलवशसहािीुूेैोौ्ंः",
    "ru": "абвгдежзийклмнопрстуфхцчшщъыьэюяАБВГ", "th": "กขคงจฉชซญดตถทธนบปผพฟภมยรลวศสหอฮะาิีึืุูเแโใไ่้", "zh": "的一是不了在人有我他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可",
    "vi": "abcdđeghiklmnopqrstuvxyàảãáạăằẳẵắặâầẩẫấậèéêềếệìíòóôồốộơờớùúưừứựỳý", "de": "abcdefghijklmnopqrstuvwxyzäöüßABCDE", "es": "abcdefghijklmnopqrstuvwxyzáéíñóúü",
    "tr": "abcçdefgğhıijklmnoöprsştuüvyzİ",
}  # fmt: skip
ARTICLES = {"en": ["the", "a", "an"], "es": ["el", "la", "un", "los"], "de": ["der", "die", "das", "ein"], "vi": ["của", "những"], "ar": ["ال"]}
MARKS = {"zh": "，。、（）", "ar": "،؛؟", "hi": "।", "es": "¿¡"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trestle", required=True, help="the binary")
    parser.add_argument("--python", default=sys.executable, help="an interpreter that has the scripts")
    parser.add_argument("--rows", type=int, default=1_000_000, help="predictions of each kind")
    parser.add_argument("--kinds", default=",".join(LANGUAGES))
    parser.add_argument("--rounds", type=int, default=1, help="how often the tools take turns; the best counts")
    parser.add_argument("--threads", type=int, help="Trestle's threads [default: all cores]")
    parser.add_argument("--folder", type=Path, default=Path("target/bench-score"), help="where the files go")
    parser.add_argument("--output", type=Path, help="where to write every figure, JSON")
    arguments = parser.parse_args()

    print(f"{'kind':<8} {'rows':>9}  {'trestle/s':>12} {'python/s':>10} {'ratio':>6}   {'pure':>12} {'python':>10} {'ratio':>6}   {'cpu':>6}   {'MiB':>6} {'python':>7}")
    figures = {}
    for kind in arguments.kinds.split(","):
        figures[kind] = measure(arguments, kind)
    if arguments.output:
        arguments.output.write_text(json.dumps(figures, indent=1))
    if not all(figure["equal"] for figure in figures.values()):
        sys.exit("error: the numbers differ")


def measure(arguments, kind):
    folder = arguments.folder / kind
    if not (folder / f"made-{arguments.rows}").exists():
        shutil.rmtree(folder, ignore_errors=True)
        make(kind, arguments.rows, folder)
        (folder / f"made-{arguments.rows}").touch()
    task, languages = LANGUAGES[kind]
    environment = dict(os.environ, **({"RAYON_NUM_THREADS": str(arguments.threads)} if arguments.threads else {}))
    common = ["score", "--predictions", folder / "predictions", "--labels", folder / "labels", "--task", task, "--json"]
    ours = [arguments.trestle, *common]
    theirs = [arguments.python, PEER, task, ",".join(languages), folder / "labels" / task, folder / "predictions" / task]
    best = {}
    for _ in range(arguments.rounds):
        for tool, command in [("trestle", ours), ("python", theirs)]:
            seconds, processor, peak, output = run(command, environment)
            result = json.loads(output)
            if tool == "trestle":
                values = {
                    language: {score["metric"]: value for score in result["scores"] for own, value in score["languages"] if own == language}
                    for language in languages
                }
                pure = result["comparing_seconds"]
            else:
                values, pure = result["values"], result["scoring_seconds"]
            if tool not in best or seconds < best[tool]["seconds"]:
                best[tool] = {"seconds": seconds, "processor_seconds": processor, "pure_seconds": pure, "peak_mib": peak, "values": values}
    ours, theirs = best["trestle"], best["python"]
    equal = compare(kind, ours["values"], theirs["values"])
    rate = lambda tool, name: arguments.rows / max(tool[name], 1e-9)
    print(
        f"{kind:<8} {arguments.rows:>9}  {rate(ours, 'seconds'):>12,.0f} {rate(theirs, 'seconds'):>10,.0f} {theirs['seconds'] / ours['seconds']:>6.1f}"
        f"   {rate(ours, 'pure_seconds'):>12,.0f} {rate(theirs, 'pure_seconds'):>10,.0f} {theirs['pure_seconds'] / max(ours['pure_seconds'], 1e-9):>6.1f}"
        f"   {theirs['processor_seconds'] / max(ours['processor_seconds'], 1e-9):>6.1f}"
        f"   {ours['peak_mib']:>6.0f} {theirs['peak_mib']:>7.0f}{'' if equal else '  DIFFERENT NUMBERS'}",
        flush=True,
    )
    return {"rows": arguments.rows, "equal": equal, "trestle": ours, "python": theirs}


def compare(kind, ours, theirs):
    """Every value of the script stands among ours, to nine digits."""
    same = True
    for language, values in theirs.items():
        for metric, value in values.items():
            if abs(ours[language][metric] - value) > 1e-9:
                print(f"{kind} {language} {metric}: {ours[language][metric]!r} {value!r}", file=sys.stderr)
                same = False
    return same


def run(command, environment):
    """Seconds, those of its processors, largest resident set in MiB, output and messages of a process."""
    begin = time.perf_counter()
    with tempfile.TemporaryFile("w+") as messages:
        process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=messages, env=environment)
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        messages.seek(0)
        errors = messages.read()
    if process.returncode != 0:
        sys.exit(f"error: {command[0]} failed with {process.returncode}: {errors}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output


def make(kind, rows, folder):
    """Writes labels and predictions, the rows shared out among the languages."""
    task, languages = LANGUAGES[kind]
    for number, language in enumerate(languages):
        draw = random.Random(f"{kind} {language}")
        count = rows // len(languages) + (number < rows % len(languages))
        paths = []
        for side in ["labels", "predictions"]:
            path = folder / side / task / f"test-{language}.{'json' if kind in ('squad', 'mlqa') else 'tsv'}"
            path.parent.mkdir(parents=True, exist_ok=True)
            paths.append(path)
        {"labels": make_labels, "tags": make_tags}.get(kind, make_answers)(draw, language, count, *paths)


def make_labels(draw, _, count, labels, predictions):
    names = ["contradiction", "entailment", "neutral"]
    gold = draw.choices(names, k=count)
    labels.write_text("".join(f"{label}\n" for label in gold))
    predictions.write_text("".join(f"{label if draw.random() < 0.8 else draw.choice(names)}\n" for label in gold))


def make_tags(draw, _, count, labels, predictions):
    names = ["O"] * 10 + [f"{mark}-{kind}" for mark in "BI" for kind in ["PER", "LOC", "ORG"]]
    with labels.open("w") as gold, predictions.open("w") as predicted:
        for _ in range(count):
            tags = draw.choices(names, k=draw.randint(3, 20))
            gold.write("\n".join(tags) + "\n\n")
            for place in range(len(tags)):
                if draw.random() < 0.1:
                    tags[place] = draw.choice(names)
            predicted.write("\n".join(tags) + "\n\n")


def make_answers(draw, language, count, labels, predictions):
    letters = LETTERS.get(language, "abcdefghijklmnopqrstuvwxyzABCDE0123456789")
    words = ["".join(draw.choices(letters, k=draw.randint(1, 9))) for _ in range(5_000)]
    words += ARTICLES.get(language, []) * 100
    marks = ".,-'()\"" + MARKS.get(language, "")

    def text():
        parts = draw.choices(words, k=draw.choice([1, 1, 2, 2, 3, 4, 6, 9]))
        if draw.random() < 0.3:
            place = draw.randrange(len(parts))
            parts[place] += draw.choice(marks)
        return " ".join(parts)

    questions, answers = [], {}
    for number in range(count):
        # As SQuAD's development set has them: three answers, which often agree.
        first = text()
        gold = [first] + [first if draw.random() < 0.6 else text() for _ in range(2)]
        chance = draw.random()
        answer = first if chance < 0.5 else f"{first} {draw.choice(words)}" if chance < 0.7 else text()
        name = f"{number:08x}{draw.randrange(1 << 64):016x}"
        questions.append({"id": name, "question": "", "answers": [{"text": one, "answer_start": 0} for one in gold]})
        answers[name] = answer
    paragraphs = [{"context": "", "qas": questions[begin : begin + 5]} for begin in range(0, count, 5)]
    labels.write_text(json.dumps({"data": [{"title": "", "paragraphs": paragraphs}], "version": "1.1"}, ensure_ascii=False))
    predictions.write_text(json.dumps(answers, ensure_ascii=False))


if __name__ == "__main__":
    main()
