"""Scores the files of one task with the scripts that people run: `score_python.py TASK LANGUAGES LABELS PREDICTIONS`.

Reads as XTREME's `evaluate.py` does. Prints JSON: the values of each language, and the seconds of the scoring alone.
"""

import json
import re
import sys
import time
from pathlib import Path
from types import SimpleNamespace


def lines(path):
    with open(path, encoding="utf-8") as file:
        return [line.strip() for line in file]


def sentences(path):
    found, sentence = [], []
    for line in lines(path):
        if line:
            sentence.append(line)
        else:
            found.append(sentence)
            sentence = []
    return found + [sentence] if sentence else found


def questions(path):
    with open(path, encoding="utf-8") as file:
        loaded = json.load(file)
    return loaded["data"] if "data" in loaded else loaded


def accuracy(labels, predictions, _):
    correct = sum(label == prediction for label, prediction in zip(labels, predictions, strict=True))
    return {"accuracy": 100 * correct / len(labels)}


def tagging(labels, predictions, _):
    from seqeval.metrics import f1_score, precision_score, recall_score

    scores = {"f1": f1_score, "precision": precision_score, "recall": recall_score}
    return {name: 100 * score(labels, predictions) for name, score in scores.items()}


def squad(labels, predictions, _):
    from official.nlp.tools.squad_evaluate_v1_1 import evaluate

    result = evaluate(labels, predictions)
    return {"exact_match": 100 * result["exact_match"], "f1": 100 * result["final_f1"]}


def mlqa(labels, predictions, language):
    script = mlqa_script()
    exact = f1 = total = 0
    for question in (qa for article in labels for paragraph in article["paragraphs"] for qa in paragraph["qas"]):
        gold = [answer["text"] for answer in question["answers"]]
        predicted = predictions[question["id"]]
        exact += script.metric_max_over_ground_truths(script.exact_match_score, predicted, gold, language)
        f1 += script.metric_max_over_ground_truths(script.f1_score, predicted, gold, language)
        total += 1
    return {"exact_match": 100 * exact / total, "f1": 100 * f1 / total}


def mlqa_script():
    """The harness's copy of MLQA's script; its article of Arabic is the original's again: any alif-lam, not only at the front of
    a word. It imports a library of data sets that scoring does not need."""
    sys.modules.setdefault("datasets", SimpleNamespace(Dataset=None))
    from importlib.metadata import distribution
    from importlib.util import module_from_spec, spec_from_file_location

    # Importing the package would import torch.
    spec = spec_from_file_location("mlqa_utils", distribution("lm_eval").locate_file("lm_eval/tasks/mlqa/utils.py"))
    script = module_from_spec(spec)
    spec.loader.exec_module(script)
    substitute = lambda pattern, by, text: re.sub("ال" if pattern == r"(?:^|\s)ال" else pattern, by, text)
    script.re = SimpleNamespace(sub=substitute, search=re.search)
    return script


TASKS = {
    "xnli": (lines, lines, accuracy, "tsv"),
    "panx": (sentences, sentences, tagging, "tsv"),
    "xquad": (questions, questions, squad, "json"),
    "mlqa": (questions, questions, mlqa, "json"),
}


def main():
    task, languages, labels, predictions = sys.argv[1:]
    read_labels, read_predictions, score, suffix = TASKS[task]
    values, seconds = {}, 0.0
    for language in languages.split(","):
        name = f"test-{language}.{suffix}"
        gold, predicted = read_labels(Path(labels) / name), read_predictions(Path(predictions) / name)
        begin = time.perf_counter()
        values[language] = score(gold, predicted, language)
        seconds += time.perf_counter() - begin
    print(json.dumps({"values": values, "scoring_seconds": seconds}))


if __name__ == "__main__":
    main()
