"""The other side of tests/transformers.rs: loads what Trestle exports, and saves what Trestle is to read.

The request comes as JSON on standard input, the answer goes as JSON to standard output.
"""

import json
import os
import shutil
import sys
from pathlib import Path

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from transformers import AutoConfig, AutoTokenizer

transformers.logging.set_verbosity_error()

CLASSES = {
    None: transformers.AutoModel,
    "sequence-classification": transformers.AutoModelForSequenceClassification,
    "multiple-choice": transformers.AutoModelForMultipleChoice,
    "span": transformers.AutoModelForQuestionAnswering,
    "token-classification": transformers.AutoModelForTokenClassification,
    "masked-lm": transformers.AutoModelForMaskedLM,
}


def logits(model, kind, batch):
    """The numbers of all rows one after another; of spans start and end side by side."""
    inputs = {name: torch.tensor(values) for name, values in batch.items()}
    if kind == "multiple-choice":
        inputs = {name: values.reshape(2, -1, values.shape[-1]) for name, values in inputs.items()}
    with torch.no_grad():
        output = model.eval()(**inputs)
    if kind is None:
        return output.last_hidden_state.flatten().tolist()
    if kind == "span":
        return torch.stack([output.start_logits, output.end_logits], -1).flatten().tolist()
    return output.logits.flatten().tolist()


def read(request):
    answers = []
    for case in request["models"]:
        options = {} if case["pooler"] else {"add_pooling_layer": False}
        model, info = CLASSES[case["kind"]].from_pretrained(case["directory"], output_loading_info=True, **options)
        answers.append(
            {
                "class": type(model).__name__,
                "problems": {name: sorted(map(str, found)) for name, found in info.items() if found},
                "labels": [model.config.id2label[number] for number in range(model.config.num_labels)],
                "logits": logits(model, case["kind"], case["batch"]),
            }
        )
    tokens = []
    for case in request["tokenizers"]:
        tokenizer = AutoTokenizer.from_pretrained(case["directory"])
        both = tokenizer(case["first"], case["second"])
        tokens.append(
            {
                "inputs": sorted(both),
                "ids": both["input_ids"],
                "longest": tokenizer.model_max_length,
                "special": [tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id]
                + [tokenizer.mask_token_id, tokenizer.unk_token_id],
            }
        )
    return {"models": answers, "tokenizers": tokens}


def save(model, directory, variant):
    """Saves a model in one of the ways in which its files may be found."""
    path = Path(directory)
    if variant in ("whole", "f16", "bf16"):
        model.save_pretrained(path)
        return
    if variant == "shards":
        model.save_pretrained(path, max_shard_size="8KB")
        assert (path / "model.safetensors.index.json").exists()
        return
    model.config.save_pretrained(path)
    model.config.architectures = [type(model).__name__]
    state = model.state_dict()
    if variant == "bin":
        torch.save(state, path / "pytorch_model.bin")
    elif variant == "old-bin":
        # As checkpoints converted from TensorFlow have it: other names of LayerNorm, a matrix that is stored the other way
        # round, and a tensor within a larger storage.
        def old(name):
            return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")

        state = {old(name): values for name, values in state.items()}
        for name, values in state.items():
            if name.endswith("query.weight"):
                state[name] = values.t().contiguous().t()
            if name.endswith("key.weight"):
                state[name] = torch.cat([torch.zeros(3, values.shape[1]), values, values])[3 : 3 + len(values)]
        torch.save(state, path / "pytorch_model.bin")
    elif variant == "legacy-bin":
        torch.save(state, path / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    elif variant == "bin-shards":
        names, places = list(state), {}
        for number in range(3):
            file = f"pytorch_model-{number + 1:05}-of-00003.bin"
            part = {name: state[name] for name in names[number::3]}
            torch.save(part, path / file)
            places.update(dict.fromkeys(part, file))
        index = {"metadata": {"total_size": 0}, "weight_map": places}
        (path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    else:
        raise ValueError(variant)


def write(request):
    answers = []
    for case in request["models"]:
        torch.manual_seed(case["seed"])
        shutil.rmtree(case["directory"], ignore_errors=True)
        Path(case["directory"]).mkdir(parents=True)
        model = CLASSES[case["kind"]].from_config(AutoConfig.for_model(**case["config"]))
        for values in model.parameters():
            values.data.normal_(0, 0.4)
        half = {"f16": torch.float16, "bf16": torch.bfloat16}.get(case["variant"])
        save(model if half is None else model.to(half), case["directory"], case["variant"])
        answers.append({"logits": logits(model.float(), case["kind"], case["batch"])})
    return {"models": answers}


request = json.load(sys.stdin)
answer = {"read": read, "write": write}[sys.argv[1]](request)
print(json.dumps(answer))
