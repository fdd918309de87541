"""Random cases with what the Python originals say of them, for tests/scoring.rs: `score_cases.py NUMBER SEED PEERS > CASES`.

One JSON object a line:
- `{"tags": [[gold, predicted], ...], "scores": [precision, recall, f1]}`: sentences, by seqeval 0.0.12;
- `{"language": ..., "gold": [...], "predicted": ..., "scores": [exact, f1]}`: an answer by MLQA's script in a language, by SQuAD
  v1.1's where the language is `squad`;
- `{"questions": [[gold, text, difference], ...], "scores": [exact, f1, best exact, its threshold, best f1, its threshold]}`: by
  SQuAD v2.0's;
- `{"character": ..., "squad": ..., "mlqa": ...}`: a text around one character, normalised; every character that this Python knows.

PEERS is the folder of peers/score_python.py, which mends one regular expression of a package that carries MLQA's script.
"""

import json
import random
import sys
import unicodedata

NAMES = [f"{mark}-{kind}" for mark in "BIES" for kind in ["PER", "LOC", "ORG"]] + ["O"]
PARTS = "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X _".split()
ODD = ["B", "I", "E", "S", "O", ".", "-", "--", "B-", "I-", "O-PER", "O-", ".-PER", "N-PER", "X-O", "I-A-PER", "B-a-b", "PER", "b-PER", "É-PER", "名-人", "U-LOC", "L-LOC", "M", "ORG-B"]

SCRIPTS = {
    "en": "abcdeothnsirl THEAN AN 0129", "es": "aelosun áéíóúüñ ELUNA 017", "de": "derindasmt äöüßÄÖÜ DIE 12", "vi": "củalàícáichếnhữg ĐÀ 3",
    "ar": "االليتوبمنةأإآ ٠١٢ لا", "hi": "कखगमरलािीुे्ंः ०१ नहीं", "zh": "的一是不在北京大 上海 AB12㐀鿐", "squad": "theanàéñ中国のไทยрусΣςοσ İıŉǰ",
}  # fmt: skip
WORDS = {
    "en": "the a an The AN theater".split(), "es": "un una unos unas el la los las El ellas".split(),
    "de": "ein eine einen einem eines einer der die das den dem des Der dessen".split(), "vi": "của là cái chiếc những Của lành".split(),
    "ar": "ال البيت والمال ا ل اال".split(), "hi": "the है।".split(), "zh": "the 北京 1998年".split(), "squad": "the a an The THE then".split(),
}  # fmt: skip
MARKS = list("""!"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~""") + list("«»“”„‘’‹›¿¡–—…·•。、，！？（）「」『』【】・،؛؟٪।॥₹€£§©°′″‰〜～｡｢｣＂＃％＆，．：；？＿￥") + ["\u0301", "\u0308", "\u0327", "\u200b", "\u200c", "\u200d", "\u200e", "\u200f", "\u202b", "\u2066", "\ufeff", "\u00ad"]  # fmt: skip
SPACES = [" "] * 12 + ["  ", "\t", "\n", "\r\n", "\u00a0", "\u3000", "\u2009", "\u2028", "\u0085", "\x1c", "\x1f", "\x0b", "\u200a", "\u1680"]
WIDE = [chr(0xFF10 + i) for i in range(10)] + [chr(0xFF21 + i) for i in range(26)] + [chr(0xFF41 + i) for i in range(26)]
KNOWN = [c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c) not in ("Cn", "Cs", "Co")]


def text(draw, language):
    parts = []
    for _ in range(draw.choice([0, 1, 1, 2, 2, 3, 4, 6])):
        kind = draw.random()
        if kind < 0.35:
            parts.append(draw.choice(WORDS[language]))
        elif kind < 0.75:
            parts.append("".join(draw.choice(SCRIPTS[language]) for _ in range(draw.randint(1, 7))))
        elif kind < 0.85:
            parts.append("".join(draw.choice(WIDE) for _ in range(draw.randint(1, 4))))
        else:
            parts.append("".join(draw.choice(KNOWN) for _ in range(draw.randint(1, 3))))
        if draw.random() < 0.5:
            parts.append(draw.choice(MARKS))
        if draw.random() < 0.8:
            parts.append(draw.choice(SPACES))
    return "".join(parts)


def answers(draw, language):
    """Right answers and a predicted one that has something of them."""
    gold = [text(draw, language) for _ in range(draw.randint(1, 4))]
    kind = draw.random()
    base = draw.choice(gold)
    if kind < 0.3:
        predicted = base + draw.choice(MARKS + SPACES)
    elif kind < 0.5:
        predicted = draw.choice(WORDS[language]) + " " + base.upper()
    elif kind < 0.8:
        predicted = base + draw.choice(SPACES) + text(draw, language)
    else:
        predicted = text(draw, language)
    if draw.random() < 0.1:
        predicted = unicodedata.normalize(draw.choice(["NFC", "NFD", "NFKC"]), predicted)
    return gold, predicted


def tags(draw):
    names = draw.choice([NAMES[:6] + ["O"] * 3, NAMES, PARTS, ODD, NAMES + PARTS + ODD])
    sentences = []
    for _ in range(draw.randint(1, 4)):
        gold = [draw.choice(names) for _ in range(draw.randint(0, 12))]
        predicted = [tag if draw.random() < 0.7 else draw.choice(names) for tag in gold]
        sentences.append([gold, predicted])
    return sentences


def questions(draw):
    found = []
    for _ in range(draw.randint(1, 12)):
        gold, predicted = answers(draw, "squad")
        if draw.random() < 0.4:
            gold = []
        if draw.random() < 0.15:
            predicted = draw.choice(["", "the", "..."])
        found.append([gold, predicted])
    differences = draw.sample([value / 64 for value in range(-640, 640)], len(found))
    return [[*question, difference] for question, difference in zip(found, differences)]


def second(script, cases):
    """SQuAD v2.0's rows, the threshold at what nothing is above."""
    paragraph = {"qas": [{"id": str(i), "answers": [{"text": one} for one in gold]} for i, (gold, _, _) in enumerate(cases)]}
    predictions = {str(i): predicted for i, (_, predicted, _) in enumerate(cases)}
    differences = {str(i): difference for i, (_, _, difference) in enumerate(cases)}
    data = [{"paragraphs": [paragraph]}]
    exact, f1 = script._get_raw_scores(data, predictions)
    has_answer = script._make_qid_to_has_ans(data)
    best = {}
    script._find_all_best_thresh(best, predictions, exact, f1, differences, has_answer)
    mean = lambda scores: 100 * sum(scores.values()) / len(scores)
    return [mean(exact), mean(f1), best["final_exact"], best["final_exact_thresh"], best["final_f1"], best["final_f1_thresh"]]


def main():
    number, seed, peers = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    sys.path.insert(0, peers)
    from official.nlp.tools import squad_evaluate_v1_1, squad_evaluate_v2_0
    from score_python import mlqa_script
    from seqeval.metrics import f1_score, precision_score, recall_score

    mlqa = mlqa_script()
    draw = random.Random(seed)
    languages = ["en", "es", "de", "ar", "hi", "vi", "zh", "squad", "squad", "squad"]
    for case in range(number):
        kind = case % 10
        if kind < 4:
            sentences = tags(draw)
            gold, predicted = [s[0] for s in sentences], [s[1] for s in sentences]
            scores = [100 * score(gold, predicted) for score in (precision_score, recall_score, f1_score)]
            row = {"tags": sentences, "scores": scores}
        elif kind < 9:
            language = draw.choice(languages)
            gold, predicted = answers(draw, language)
            if language == "squad":
                of = lambda score: squad_evaluate_v1_1._metric_max_over_ground_truths(score, predicted, gold)
                scores = [of(squad_evaluate_v1_1._exact_match_score), of(squad_evaluate_v1_1._f1_score)]
            else:
                of = lambda score: mlqa.metric_max_over_ground_truths(score, predicted, gold, language)
                scores = [of(mlqa.exact_match_score), of(mlqa.f1_score)]
            row = {"language": language, "gold": gold, "predicted": predicted, "scores": [float(score) for score in scores]}
        else:
            cases = questions(draw)
            row = {"questions": cases, "scores": second(squad_evaluate_v2_0, cases)}
        print(json.dumps(row))
    for c in KNOWN:
        around = f"x{c}y {c}a a{c}b {c} the{c}"
        # The script's own tokens: its Chinese mode splits what it has joined.
        row = {"character": around, "squad": squad_evaluate_v1_1._normalize_answer(around), "mlqa": mlqa.normalize_answer(around, "en")}
        print(json.dumps(row))


if __name__ == "__main__":
    main()
