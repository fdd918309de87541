"""The fine-tuning of `make compare-tagging` in transformers: trains on English tagged sentences, tags test sentences.

Reads XTREME's files (word, tab, tag; a blank line between sentences) and a study's settings as JSON. As Trestle does it: each
word encoded alone, the label on its first sub-word, sentences cut into windows of whole words; batches of like length (shuffled
instances sorted by length in stretches of 64 batches, the batches shuffled); AdamW without weight decay on biases and LayerNorm;
linear warm-up and decay by the same formula; the global norm clipped; dropout as the encoder's configuration has it. What can't
be the same are the random numbers: new weights of the classifier, order, dropout.

Writes `test-LANGUAGE.tsv`, a tag a line, and prints a JSON object with the losses.
"""

import argparse
import json
import math
import os
import random
import time
from pathlib import Path

SORTED_BATCHES = 64


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", required=True, help="a Hugging Face model directory")
    parser.add_argument("--data", required=True, type=Path, help="the directory with train-en.tsv and test-LANGUAGE.tsv")
    parser.add_argument("--settings", required=True, help="labels, languages, limits, max_length and hyperparameters, JSON")
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    os.environ.update(CUDA_VISIBLE_DEVICES="", HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error")
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    settings = json.loads(arguments.settings)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    shuffler = random.Random(arguments.seed)
    tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.encoder)
    model = transformers.AutoModelForTokenClassification.from_pretrained(arguments.encoder, num_labels=len(settings["labels"]))

    def read(name, limit):
        return windows(tokenizer, sentences(arguments.data / name)[:limit], settings)

    began = time.perf_counter()
    train = read("train-en.tsv", settings["limits"]["train"])
    losses = fit(torch, model, train, settings, shuffler, tokenizer.pad_token_id)
    trained = time.perf_counter() - began
    model.eval()
    arguments.output.mkdir(parents=True, exist_ok=True)
    for language in settings["languages"]:
        test = read(f"test-{language}.tsv", settings["limits"]["test"])
        tagged = tag(torch, model, test, settings, tokenizer.pad_token_id)
        write(arguments.output / f"test-{language}.tsv", tagged)
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    seconds = {"train": trained, "all": time.perf_counter() - began}
    print(json.dumps({"instances": len(train), "losses": losses, "seconds": seconds, "versions": versions}))


def sentences(path):
    """Words and tags of each sentence of a file."""
    found, sentence = [], []
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line.strip():
            sentence.append(line.rstrip("\r").split("\t"))
        elif sentence:
            found.append(sentence)
            sentence = []
    return found + ([sentence] if sentence else [])


def windows(tokenizer, sentences, settings):
    """Instances: the sentence's number, ids, the place of each word's first sub-word, and its label."""
    room = settings["max_length"] - 2
    numbers = {label: number for number, label in enumerate(settings["labels"])}
    found = []
    for number, sentence in enumerate(sentences):
        encoded = tokenizer([word for word, _ in sentence], add_special_tokens=False)["input_ids"]
        pieces = [ids if 0 < len(ids) <= room else [tokenizer.unk_token_id] for ids in encoded]
        body, places, labels = [], [], []
        for ids, (_, label) in zip(pieces, sentence):
            if len(body) + len(ids) > room:
                found.append((number, wrapped(tokenizer, body), places, labels))
                body, places, labels = [], [], []
            places.append(1 + len(body))
            labels.append(numbers[label])
            body += ids
        found.append((number, wrapped(tokenizer, body), places, labels))
    return found


def wrapped(tokenizer, ids):
    return [tokenizer.cls_token_id, *ids, tokenizer.sep_token_id]


def tensors(torch, batch, pad):
    """Ids, attention mask and labels (-100 where there is none) of a batch."""
    width = max(len(ids) for _, ids, _, _ in batch)
    ids = torch.full((len(batch), width), pad)
    mask = torch.zeros(len(batch), width, dtype=torch.long)
    gold = torch.full((len(batch), width), -100)
    for row, (_, tokens, places, labels) in enumerate(batch):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = 1
        gold[row, places] = torch.tensor(labels)
    return ids, mask, gold


def epoch(train, size, shuffler):
    """Batches of like length, in random order."""
    order = list(range(len(train)))
    shuffler.shuffle(order)
    stretch = size * SORTED_BATCHES
    parts = [sorted(order[at : at + stretch], key=lambda index: len(train[index][1])) for at in range(0, len(order), stretch)]
    order = [index for part in parts for index in part]
    batches = [order[at : at + size] for at in range(0, len(order), size)]
    shuffler.shuffle(batches)
    return batches


def fit(torch, model, train, settings, shuffler, pad):
    hyper = settings["hyperparameters"]
    size = hyper["batch_size"]
    steps = math.ceil(hyper["epochs"] * math.ceil(len(train) / size))
    warm_up = math.floor(hyper["warmup_share"] * steps + 0.5)

    def rate(step):
        return (step + 1) / warm_up if step < warm_up else (steps - step) / max(steps - warm_up, 1)

    named = list(model.named_parameters())
    undecayed = [parameter for name, parameter in named if name.endswith(".bias") or "LayerNorm" in name]
    known = {id(parameter) for parameter in undecayed}
    decayed = [parameter for _, parameter in named if id(parameter) not in known]
    groups = [{"params": decayed, "weight_decay": hyper["weight_decay"]}, {"params": undecayed, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=hyper["learning_rate"], eps=hyper["adam_epsilon"], fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    model.train()
    losses = []
    while len(losses) < steps:
        for indices in epoch(train, size, shuffler)[: steps - len(losses)]:
            ids, mask, gold = tensors(torch, [train[index] for index in indices], pad)
            optimizer.zero_grad(set_to_none=True)
            loss = model(input_ids=ids, attention_mask=mask, labels=gold).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), hyper["max_grad_norm"])
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
    return losses


def tag(torch, model, test, settings, pad):
    """The tags of each sentence."""
    found = [[] for _ in range(1 + test[-1][0])]
    order = sorted(range(len(test)), key=lambda index: len(test[index][1]))
    tags = [None] * len(test)
    for at in range(0, len(order), 32):
        batch = order[at : at + 32]
        ids, mask, _ = tensors(torch, [test[index] for index in batch], pad)
        with torch.no_grad():
            best = model(input_ids=ids, attention_mask=mask).logits.argmax(-1)
        for row, index in enumerate(batch):
            tags[index] = [settings["labels"][best[row, place]] for place in test[index][2]]
    for (number, *_), window in zip(test, tags):
        found[number] += window
    return found


def write(path, sentences):
    path.write_text("".join("".join(f"{tag}\n" for tag in tags) + "\n" for tags in sentences), encoding="utf-8")


if __name__ == "__main__":
    main()
