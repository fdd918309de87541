"""One row of `make bench-train` in PyTorch: transformers' classifier with random weights, forward passes or training steps.

The row comes as JSON from the bench (`train --list --json`); one JSON object goes out, with the fields that the bench has.
What is as good as it gets without leaving the library: scaled dot-product attention by PyTorch's own kernels, no attention
mask (nothing is padded), AdamW in its fused form, gradients set to none. What is not used: torch.compile, CUDA graphs, TF32.
In bf16 and f16, autocast; f16 with a loss scaler. A word of the embedding table that a batch does not name has a gradient
all the same, as in Trestle: the table is dense in both.
"""

import argparse
import json
import math
import os
import statistics
import time

BATCHES, LABELS = 8, 3
WARM_UP = {"cpu": 3, "cuda": 10}
KINDS = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--row", help="a row as the bench describes it, JSON")
    parser.add_argument("--pass", dest="work", choices=["forward", "step"], default="step")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=KINDS, default="f32")
    parser.add_argument("--gradient-checkpointing", action="store_true")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peak", action="store_true", help="measures a matrix product and ends")
    parser.add_argument("--count", action="store_true", help="counts parameters and FLOPs and ends")
    arguments = parser.parse_args()
    # Before anything reads them: no GPU is touched for a row of the CPU, and nothing is looked for on the network.
    if arguments.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="false")
    import torch

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    if arguments.peak:
        report = peak(torch, arguments)
    else:
        row = json.loads(arguments.row)
        report = count(torch, arguments, row) if arguments.count else measure(torch, arguments, row)
    print(json.dumps(report))


def device_name(torch, arguments):
    if arguments.device == "cuda":
        return torch.cuda.get_device_name()
    models = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    return models[0] if models else "cpu"


def build(row):
    """The model of a row, with transformers' own initial weights."""
    import transformers

    config = {name: value for name, value in row["config"].items() if name != "model_type"}
    kinds = {
        "bert": (transformers.BertConfig, transformers.BertForSequenceClassification),
        "xlm-roberta": (transformers.XLMRobertaConfig, transformers.XLMRobertaForSequenceClassification),
    }
    config_class, model_class = kinds[row["config"]["model_type"]]
    config = config_class(**config, num_labels=LABELS, attn_implementation="sdpa", problem_type="single_label_classification")
    return model_class(config), transformers.__version__


def batches(torch, row, device):
    shape = (row["rows"], row["positions"])
    words = [torch.randint(5, row["config"]["vocab_size"], shape) for _ in range(BATCHES)]
    return [(ids.to(device), torch.randint(0, LABELS, shape[:1]).to(device)) for ids in words]


def count(torch, arguments, row):
    """Parameters, and the FLOPs of a forward pass a token, as PyTorch's own counter sees them."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    model, _ = build(row)
    model.eval()
    ids, labels = batches(torch, row | {"rows": 1}, "cpu")[0]
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(input_ids=ids, labels=labels)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return {"row": row["row"], "parameters": parameters, "forward_flops": counter.get_total_flops() / row["positions"]}


def measure(torch, arguments, row):
    device = arguments.device
    model, version = build(row)
    model.to(device)
    if arguments.gradient_checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    kind = getattr(torch, KINDS[arguments.precision])
    autocast = torch.autocast(device, dtype=kind, enabled=arguments.precision != "f32")
    scaler = torch.amp.GradScaler(device, enabled=arguments.precision == "f16")
    matrices = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in model.parameters() if parameter.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-5, eps=1e-8, fused=True)
    data = batches(torch, row, device)

    def forward(ids, labels):
        with torch.no_grad(), autocast:
            return model(input_ids=ids, labels=labels).loss

    def step(ids, labels):
        optimizer.zero_grad(set_to_none=True)
        with autocast:
            loss = model(input_ids=ids, labels=labels).loss
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        return loss.detach()

    work = step if arguments.work == "step" else forward
    model.train(arguments.work == "step")
    done = 0

    def stretch(steps):
        """Seconds of some steps, from an idle device to an idle device, and the last loss."""
        nonlocal done
        began = time.perf_counter()
        for _ in range(steps):
            loss = work(*data[done % BATCHES])
            done += 1
        loss = loss.item()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began, loss

    began = time.perf_counter()
    first_loss = stretch(1)[1]
    stretch(WARM_UP[device] - 1)
    warm_up = time.perf_counter() - began
    one, _ = stretch(1)
    steps = min(max(round(arguments.seconds / arguments.repeats / one), 1), 10_000)
    runs = [stretch(steps) for _ in range(arguments.repeats)]
    seconds, last_loss = [run[0] / steps for run in runs], runs[-1][1]
    if not (math.isfinite(first_loss) and math.isfinite(last_loss)):
        raise SystemExit(f"the loss is not a number: {first_loss} at first, {last_loss} at last")
    tokens = row["rows"] * row["positions"]
    flops = row["forward_flops"] * (3 if arguments.work == "step" else 1)
    return {
        "tool": "pytorch",
        "versions": {"torch": torch.__version__, "transformers": version},
        "row": row["row"],
        "pass": arguments.work,
        "precision": arguments.precision,
        "gradient_checkpointing": arguments.gradient_checkpointing,
        "device": device_name(torch, arguments),
        "threads": arguments.threads,
        "rows": row["rows"],
        "positions": row["positions"],
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "warm_up_seconds": warm_up,
        "steps_a_stretch": steps,
        "seconds": seconds,
        "tokens_per_second": tokens / statistics.median(seconds),
        "best_tokens_per_second": tokens / min(seconds),
        "flops_per_token": flops,
        "flops_per_second": flops * tokens / statistics.median(seconds),
        "resident_bytes": peak_resident(),
        "device_bytes": torch.cuda.max_memory_reserved() if device == "cuda" else None,
        "first_loss": first_loss,
        "last_loss": last_loss,
    }


def peak(torch, arguments):
    """FLOP/s of a matrix product: 2048³ on a CPU, 4096³ on a GPU, the best of some."""
    cuda = arguments.device == "cuda"
    size, products = (4096, 20) if cuda else (2048, 1)
    kind = getattr(torch, KINDS[arguments.precision])
    left, right = (torch.rand(size, size, device=arguments.device).sub(0.5).to(kind) for _ in range(2))
    best, began = math.inf, time.perf_counter()
    while time.perf_counter() - began < 1.5:
        started = time.perf_counter()
        for _ in range(products):
            left @ right
        if cuda:
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    flops = products * 2 * size**3 / best
    source = f"{size}³ matrix product, PyTorch, {arguments.precision}, threads: {arguments.threads}"
    return {"tool": "pytorch", "device": device_name(torch, arguments), "flops": flops, "source": source}


def peak_resident():
    """The largest resident set of this process so far, in bytes."""
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None


if __name__ == "__main__":
    main()
