"""The peer of `make bench-data`: raw files to model inputs as users of Hugging Face's libraries make them.

Each task's raw files become one `datasets.Dataset` (the library's own CSV and JSON loaders where they fit, a generator
where they do not), `map(batched=True, num_proc=N)` with a fast tokenizer makes the inputs, `to_parquet` writes them. One
dataset a task rather than one a language, so that the worker processes start once. With one process, `map` runs in this
one and the tokenizer uses its own threads; with more they are off, as its documentation advises. Rows stand in the order
of `sources`, which the report repeats.

Prints one JSON object: seconds and rows by task, and the versions.
"""

import argparse
import csv
import json
import os
import tempfile
import time
from pathlib import Path

# Read when the libraries load.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"

import datasets
import transformers
from datasets import Dataset, concatenate_datasets, load_dataset
from transformers import PreTrainedTokenizerFast

PAIR_LABELS = {"entailment": 0, "neutral": 1, "contradiction": 2}
UPOS = "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X".split()
ENTITIES = "O B-PER I-PER B-ORG I-ORG B-LOC I-LOC".split()
MLQA = "ar de en hi zh".split()
TYDIQA = {
    "ar": "arabic", "en": "english", "fi": "finnish", "id": "indonesian", "ko": "korean", "ru": "russian", "sw": "swahili",
}  # fmt: skip
XNLI = "ar bg de el en es fr hi ru sw th tr ur vi zh".split()
TATOEBA = {
    "af": "afr", "ar": "ara", "bg": "bul", "bn": "ben", "de": "deu", "el": "ell", "es": "spa", "et": "est", "eu": "eus",
    "fa": "pes", "fi": "fin", "fr": "fra", "he": "heb", "hi": "hin", "hu": "hun", "id": "ind", "jv": "jav", "sw": "swh",
    "ta": "tam", "th": "tha", "tr": "tur", "zh": "cmn",
}  # fmt: skip


class Settings:
    """What a run is told: paths, lengths, and the tokenizer."""

    def __init__(self, arguments):
        self.data, self.output = Path(arguments.data), Path(arguments.output)
        self.processes = arguments.processes
        self.max_length, self.max_span = arguments.max_length, arguments.max_span
        self.stride, self.max_question = arguments.stride, arguments.max_question
        self.tokenizer = PreTrainedTokenizerFast(
            tokenizer_file=arguments.tokenizer,
            bos_token="<s>", eos_token="</s>", cls_token="<s>", sep_token="</s>", pad_token="<pad>", unk_token="<unk>",
            mask_token="<mask>", model_input_names=["input_ids"],
        )  # fmt: skip
        self.tokenizer.model_max_length = 1 << 30
        self.cache = arguments.cache

    def load(self, builder, files, **options):
        """One dataset of `files`, in their order."""
        files = [str(self.data / file) for file in files]
        return load_dataset(builder, data_files=files, split="train", cache_dir=self.cache, **options)

    def generate(self, rows, files, **options):
        """One dataset of the rows that the generator `rows` makes of each of `files`."""
        arguments = {"rows": rows, "files": [str(self.data / file) for file in files], "options": options}
        return Dataset.from_generator(chain, gen_kwargs=arguments, cache_dir=self.cache)

    def existing(self, pattern, languages):
        """(language, file) of each language that has a file."""
        named = ((language, pattern.format(language)) for language in languages)
        return [(language, file) for language, file in named if (self.data / file).is_file()]


def chain(rows, files, options):
    for file in files:
        yield from rows(file, **options)


def squad_rows(file, keep=None):
    """The questions of a SQuAD JSON file, with their first answer."""
    with open(file, encoding="utf-8") as text:
        articles = json.load(text)["data"]
    number = 0
    for article in articles:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                number += 1
                if keep is not None and not keep(number - 1, question):
                    continue
                answer = question["answers"][0] if question["answers"] else {"text": "", "answer_start": -1}
                yield {
                    "context": paragraph["context"],
                    "question": question["question"],
                    "text": answer["text"],
                    "start": answer["answer_start"],
                }


def tagged_rows(file):
    """The sentences of a file with a token, a tab and a tag a line, and a blank line after each sentence."""
    words, tags = [], []
    with open(file, encoding="utf-8", newline="\n") as lines:
        for line in lines:
            line = line.rstrip("\r\n")
            if line:
                word, tag = line.split("\t")
                words.append(word)
                tags.append(tag)
            elif words:
                yield {"words": words, "tags": tags}
                words, tags = [], []
    if words:
        yield {"words": words, "tags": tags}


TSV = {"sep": "\t", "quoting": csv.QUOTE_NONE, "keep_default_na": False, "header": None}


def pairs(settings, dataset, labels):
    """Inputs of rows with `a`, `b` and `label`."""

    def encode(rows):
        inputs = settings.tokenizer(rows["a"], rows["b"], truncation="longest_first", max_length=settings.max_length)
        return {"input_ids": inputs["input_ids"], "label": [labels[label] for label in rows["label"]]}

    return encode, dataset


def choices(settings, dataset):
    """Inputs of rows with `prompt`, `choices` and `label`: one sequence a choice."""

    def encode(rows):
        prompts = [prompt for prompt, texts in zip(rows["prompt"], rows["choices"]) for _ in texts]
        texts = [text for texts in rows["choices"] for text in texts]
        flat = settings.tokenizer(prompts, texts, truncation="longest_first", max_length=settings.max_length)["input_ids"]
        grouped, begin = [], 0
        for texts in rows["choices"]:
            grouped.append(flat[begin : begin + len(texts)])
            begin += len(texts)
        return {"input_ids": grouped, "label": rows["label"]}

    return encode, dataset


def texts(settings, dataset):
    """Inputs of rows with `text`."""

    def encode(rows):
        return {"input_ids": settings.tokenizer(rows["text"], truncation=True, max_length=settings.max_length)["input_ids"]}

    return encode, dataset


def tagged(settings, dataset, names):
    """Inputs of rows with `words` and `tags`: the first sub-word of a word has its label, the others -100."""
    numbers = {name: number for number, name in enumerate(names)}

    def encode(rows):
        inputs = settings.tokenizer(
            rows["words"], is_split_into_words=True, truncation=True, max_length=settings.max_length
        )
        labels = []
        for index, tags in enumerate(rows["tags"]):
            row, previous = [], None
            for word in inputs.word_ids(index):
                row.append(-100 if word is None or word == previous else numbers[tags[word]])
                previous = word
            labels.append(row)
        return {"input_ids": inputs["input_ids"], "labels": labels}

    return encode, dataset


def spans(settings, dataset):
    """Windows of rows with `context`, `question`, `text` and `start`, each with the answer's first and last token."""

    def cut(question):
        """As much of a question as the most tokens that one may have."""
        if len(question) <= settings.max_question:
            return question
        offsets = settings.tokenizer(question, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        return question if len(offsets) <= settings.max_question else question[: offsets[settings.max_question - 1][1]]

    def encode(rows):
        inputs = settings.tokenizer(
            [cut(question) for question in rows["question"]], rows["context"], truncation="only_second", max_length=settings.max_span,
            stride=settings.stride, return_overflowing_tokens=True, return_offsets_mapping=True,
        )  # fmt: skip
        starts, ends = [], []
        for window, example in enumerate(inputs["overflow_to_sample_mapping"]):
            begin = rows["start"][example]
            end = begin + len(rows["text"][example])
            offsets, parts = inputs["offset_mapping"][window], inputs.sequence_ids(window)
            first = parts.index(1)
            last = len(parts) - 1
            while parts[last] != 1:
                last -= 1
            if begin < 0 or offsets[first][0] > begin or offsets[last][1] < end:
                starts.append(0)
                ends.append(0)
                continue
            while first <= last and offsets[first][0] <= begin:
                first += 1
            starts.append(first - 1)
            while offsets[last][1] >= end:
                last -= 1
            ends.append(last + 1)
        return {"input_ids": inputs["input_ids"], "start_position": starts, "end_position": ends}

    return encode, dataset


def xnli(settings):
    dev = settings.existing("xnli/xtreme/dev-{}.tsv", XNLI)
    test = settings.existing("xnli/xtreme/test-{}.tsv", XNLI)
    sources = [("validation", language) for language, _ in dev] + [("test", language) for language, _ in test]
    first = settings.load("csv", [file for _, file in dev], column_names=["a", "b", "label"], **TSV)
    second = settings.load("csv", [file for _, file in test], column_names=["a", "b"], **TSV)
    gold = (settings.data / "xnli/gold/test.labels.txt").read_text(encoding="utf-8").split()
    second = second.add_column("label", gold * len(test)).cast(first.features)
    return sources, *pairs(settings, concatenate_datasets([first, second]), PAIR_LABELS)


def pawsx(settings):
    dev = settings.existing("pawsx/dev-{}.tsv", "de en es fr ja ko zh".split())
    dataset = settings.load("csv", [file for _, file in dev], column_names=["a", "b", "label"], **TSV)
    return [("validation", language) for language, _ in dev], *pairs(settings, dataset, {0: 0, 1: 1})


def mnli(settings):
    dataset = settings.load("csv", ["mnli/taxinli/taxinli10k.tsv"], **{**TSV, "header": 0})
    dataset = dataset.select_columns(["prem", "hyp", "label", "pairID"]).rename_columns({"prem": "a", "hyp": "b"})
    kept = [number[-2] == "0" for number in dataset["pairID"]]
    train = dataset.select([row for row, yes in enumerate(kept) if not yes])
    validation = dataset.select([row for row, yes in enumerate(kept) if yes])
    both = concatenate_datasets([train, validation])
    return [("train", "en"), ("validation", "en")], *pairs(settings, both, PAIR_LABELS)


def snli(settings):
    dataset = settings.load("csv", ["snli/test.pairs.tsv"], column_names=["a", "b", "label"], **TSV)
    dataset = dataset.filter(lambda labels: [label != "-" for label in labels], input_columns="label", batched=True)
    return [("test", "en")], *pairs(settings, dataset, PAIR_LABELS)


def udpos(settings):
    languages = "ar en es eu fi ja kk ko ru ta th tr yo zh".split()
    found = [
        (split, language, file)
        for split, name in [("train", "train"), ("validation", "dev"), ("test", "test")]
        for language, file in settings.existing(f"udpos/xtreme/{name}-{{}}.tsv", languages)
    ]
    dataset = settings.generate(tagged_rows, [file for *_, file in found])
    return [source[:2] for source in found], *tagged(settings, dataset, UPOS)


def panx(settings):
    languages = "ar de en fi ja jv my ru sw ta tr yo zh".split()
    found = [
        (split, language, file)
        for split, name in [("train", "train"), ("validation", "dev")]
        for language, file in settings.existing(f"panx/{name}-{{}}.tsv", languages)
    ]
    dataset = settings.generate(tagged_rows, [file for *_, file in found])
    return [source[:2] for source in found], *tagged(settings, dataset, ENTITIES)


def squad_v1(settings):
    def answerable(validation):
        return lambda row, question: not question["is_impossible"] and (row % 10 == 0) == validation

    files = ["squad/cs224n/dev-v2.0.json"]
    both = [settings.generate(squad_rows, files, keep=answerable(validation)) for validation in [False, True]]
    return [("train", "en"), ("validation", "en")], *spans(settings, concatenate_datasets(both))


def squad_v2(settings):
    return questions(settings, [("validation", "en", "squad/cs224n/dev-v2.0.json")])


def questions(settings, sources):
    """A span task of (split, language, file)."""
    dataset = settings.generate(squad_rows, [file for *_, file in sources])
    return [source[:2] for source in sources], *spans(settings, dataset)


def xquad(settings):
    found = settings.existing("xquad/xquad.{}.json", "ar de en es hi ru tr zh".split())
    return questions(settings, [("test", language, file) for language, file in found])


def mlqa(settings):
    found = settings.existing("mlqa/dev/dev-context-{0}-question-{0}.json", MLQA)
    return questions(settings, [("validation", language, file) for language, file in found])


def mlqa_cross(settings):
    files = [(context, f"mlqa/dev/dev-context-{context}-question-{question}.json") for context in MLQA for question in MLQA]
    return questions(settings, [("validation", context, file) for context, file in files])


def tydiqa(settings):
    dev = [(language, f"tydiqa/{name}_tydiqa_dev.json") for language, name in TYDIQA.items()]
    evaluation = [(split, language, file) for split in ["validation", "test"] for language, file in dev]
    return questions(settings, [("train", "en", "tydiqa/english_tydiqa_train.json"), *evaluation])


def commonsenseqa(settings):
    files = ["commonsenseqa/train_rand_split.jsonl", "commonsenseqa/dev_rand_split.jsonl"]

    def flat(rows):
        return {
            "prompt": [question["stem"] for question in rows["question"]],
            "choices": [[choice["text"] for choice in question["choices"]] for question in rows["question"]],
            "label": ["ABCDE".index(key) for key in rows["answerKey"]],
        }

    dataset = settings.load("json", files)
    dataset = dataset.map(flat, batched=True, remove_columns=dataset.column_names)
    return [("train", "en"), ("validation", "en")], *choices(settings, dataset)


def cosmosqa(settings):
    def flat(rows):
        answers = [rows[f"answer{number}"] for number in range(4)]
        prompts = [f"{context} {question}" for context, question in zip(rows["context"], rows["question"])]
        return {"prompt": prompts, "choices": [list(row) for row in zip(*answers)]}

    dataset = settings.load("csv", ["cosmosqa/layout/train.csv", "cosmosqa/valid.csv"], keep_default_na=False)
    dataset = dataset.map(flat, batched=True, remove_columns=[name for name in dataset.column_names if name != "label"])
    return [("train", "en"), ("validation", "en")], *choices(settings, dataset)


def hellaswag(settings):
    def flat(rows):
        endings = zip(rows["ctx_b"], rows["endings"])
        return {"prompt": rows["ctx_a"], "choices": [[f"{begin} {end}".lstrip() for end in ends] for begin, ends in endings]}

    files = ["hellaswag/layout/hellaswag_train.jsonl", "hellaswag/hellaswag_val.first1000.jsonl"]
    dataset = settings.load("json", files)
    dataset = dataset.map(flat, batched=True, remove_columns=[name for name in dataset.column_names if name != "label"])
    return [("train", "en"), ("validation", "en")], *choices(settings, dataset)


def tatoeba(settings):
    found = [
        (language, f"tatoeba/v1/tatoeba.{code}-eng.{code}")
        for language, code in TATOEBA.items()
        if (settings.data / f"tatoeba/v1/tatoeba.{code}-eng.{code}").is_file()
    ]
    dataset = settings.generate(aligned_rows, [file for _, file in found])
    return [("test", language) for language, _ in found], *texts(settings, dataset)


def aligned_rows(file):
    """Both sides of a file and the English one beside it, line by line: the English query, then the indexed sentence."""
    english = str(Path(file).with_suffix(".eng"))
    with open(file, encoding="utf-8", newline="\n") as sentences, open(english, encoding="utf-8", newline="\n") as queries:
        for sentence, query in zip(sentences, queries, strict=True):
            yield {"text": query.rstrip("\r\n")}
            yield {"text": sentence.rstrip("\r\n")}


def bucc2018(settings):
    files = ["bucc2018/zh-en.dev.zh", "bucc2018/zh-en.dev.en"]
    dataset = settings.load("csv", files, column_names=["id", "text"], **TSV)
    return [("validation", "zh")], *texts(settings, dataset)


TASKS = {
    task.__name__: task
    for task in [
        xnli, pawsx, mnli, snli, udpos, panx, squad_v1, squad_v2, xquad, mlqa, mlqa_cross, tydiqa, commonsenseqa, cosmosqa,
        hellaswag, tatoeba, bucc2018,
    ]
}  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="the directory with the raw files")
    parser.add_argument("--tokenizer", required=True, help="a tokenizer.json")
    parser.add_argument("--output", required=True, help="where to write <task>.parquet")
    parser.add_argument("--task", required=True, help="tasks, with commas between")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--max-length", type=int, default=256)
    parser.add_argument("--max-span", type=int, default=384)
    parser.add_argument("--stride", type=int, default=128)
    parser.add_argument("--max-question", type=int, default=64)
    arguments = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if arguments.processes == 1 else "false"
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=arguments.output) as arguments.cache:
        report = run(Settings(arguments), arguments.task.split(","))
    report["seconds"] = time.perf_counter() - began
    print(json.dumps(report))


def run(settings, names):
    tasks = {}
    for name in names:
        began = time.perf_counter()
        sources, encode, dataset = TASKS[name](settings)
        inputs = dataset.map(
            encode,
            batched=True,
            num_proc=settings.processes if settings.processes > 1 else None,
            remove_columns=dataset.column_names,
        )
        inputs.to_parquet(str(settings.output / f"{name}.parquet"))
        seconds = time.perf_counter() - began
        tasks[name] = {"seconds": seconds, "examples": len(dataset), "rows": len(inputs), "sources": list(dict.fromkeys(sources))}
    return {"tasks": tasks, "versions": {"datasets": datasets.__version__, "transformers": transformers.__version__}}


if __name__ == "__main__":
    datasets.disable_progress_bars()
    main()
