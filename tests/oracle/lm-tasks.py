#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Answers of stories260k by PyTorch and transformers, in double, and of SmolLM2 by lm-evaluation-harness: what
tests/test-lm-tasks.c is held to.

    afpipe-tasks piqa piqa_valid.jsonl piqa_valid-labels.lst | head -n 60 > piqa.jsonl
    python3 tests/oracle/lm-tasks.py ../shared/data/stories260k piqa.jsonl
    python3 tests/oracle/lm-tasks.py ../shared/data/stories260k ../shared/data/text/valid200_eot.txt
    python3 tests/oracle/lm-tasks.py SmolLM2-135M-Instruct.Q4_1.gguf piqa-8.jsonl
    python3 tests/oracle/lm-tasks.py SmolLM2-135M-Instruct.Q4_1.gguf lambada-8.jsonl

A file that does not end in .jsonl is a text of stories: of each of the first 100, its first 40 words with a blank between them, the last
word of which is asked for. Prints the number of questions, how many are answered right, how many with log-likelihoods divided by the bytes
of the choice, and the sum of the log-likelihoods of all choices. The packages are installed into a virtual environment that goes when
the script ends, or, with --venv FOLDER, stays there. Nobody needs this script to run the tests.
"""
import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile
import venv

PACKAGES = ["torch==2.15.0", "transformers==5.24.0", "numpy==2.4.6", "safetensors==0.8.0", "gguf==0.19.0",
            "accelerate==1.15.0", "lm_eval==0.4.13"]
BOS = 1


class Tokenizer:
    """llama2.c's: characters or bytes, then the merge of the best score, again and again."""

    def __init__(self, path, vocab):
        self.ids, self.scores, self.pieces = {}, [], []
        with open(path, "rb") as file:
            file.read(4)
            for i in range(vocab):
                score, n = struct.unpack("<fi", file.read(8))
                piece = file.read(n)
                self.pieces.append(piece)
                self.scores.append(score)
                self.ids.setdefault(piece, i)

    def encode(self, text):
        ids = [self.ids[b" "]] if text else []
        for character in text:
            code = character.encode()
            ids += [self.ids[code]] if code in self.ids else [3 + byte for byte in code]
        while True:
            pairs = [self.ids.get(self.pieces[a] + self.pieces[b]) for a, b in zip(ids, ids[1:])]
            known = [(self.scores[id], -i) for i, id in enumerate(pairs) if id is not None]
            if not known:
                return ids
            i = -max(known)[1]
            ids[i:i + 2] = [pairs[i]]


def read_questions(path):
    """(context, choices as they follow it, answer or None for a last word)"""
    with open(path, encoding="utf-8", newline="") as file:
        text = file.read()
    if path.endswith(".jsonl"):
        for line in text.splitlines():
            question = json.loads(line)
            yield (question["question"].rstrip(), [" " + choice for choice in question["choices"]],
                   question["answer"])
        return
    for story in text.split("<|endoftext|>")[:100]:
        words = story.split()[:40]
        yield " ".join(words[:-1]), [" " + words[-1]], None


def score(model, tokenizer, context, choice):
    """Log-likelihood of the choice, and whether every token of it is the likeliest."""
    import torch

    ids = [BOS] + tokenizer.encode(context + choice)
    known = 1 + len(tokenizer.encode(context))
    with torch.no_grad():
        logs = model(torch.tensor([ids[:-1]])).logits[0].log_softmax(-1)
    at = range(known - 1, len(ids) - 1)
    return (sum(float(logs[i, ids[i + 1]]) for i in at),
            all(int(logs[i].argmax()) == ids[i + 1] for i in at))


def answer(folder, path):
    import torch
    import transformers

    model = transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    tokenizer = Tokenizer(os.path.join(folder, "tok512.bin"), model.config.vocab_size)
    n = right = right_norm = 0
    total = 0.0
    for context, choices, expected in read_questions(path):
        scores = [score(model, tokenizer, context, choice) for choice in choices]
        logs = [log for log, _ in scores]
        norms = [log / (len(choice.encode()) - 1) for log, choice in zip(logs, choices)]
        n += 1
        total += sum(logs)
        right += scores[0][1] if expected is None else logs.index(max(logs)) == expected
        right_norm += scores[0][1] if expected is None else norms.index(max(norms)) == expected
    print(f"{n} questions, {right} right, {right_norm} by the byte, log-likelihood {total:.6f}")


def load_smollm2(path):
    import gguf
    import torch
    import transformers
    from tokenizers import AddedToken, Tokenizer as Fast, models, pre_tokenizers as pre

    fields = gguf.GGUFReader(path).fields
    tokens, merges, kinds = (fields[f"tokenizer.ggml.{name}"].contents() for name in ("tokens", "merges", "token_type"))
    fast = Fast(models.BPE({token: i for i, token in enumerate(tokens)}, [tuple(merge.split(" ")) for merge in merges]))
    fast.pre_tokenizer = pre.Sequence([pre.Digits(True), pre.ByteLevel(add_prefix_space=False)])
    fast.add_special_tokens([AddedToken(token, normalized=False, special=True)
                             for token, kind in zip(tokens, kinds) if kind == 3])
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=fast, bos_token="<|im_start|>",
                                                     eos_token="<|im_end|>")
    folder, name = os.path.split(path)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    return model.eval(), tokenizer


def answer_by_harness(gguf, path):
    from lm_eval import evaluator
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.models.huggingface import HFLM

    model, tokenizer = load_smollm2(os.path.abspath(gguf))
    choices = dict(output_type="multiple_choice", doc_to_text="{{question}}", doc_to_choice="{{choices}}",
                   doc_to_target="{{answer}}", metric_list=[dict(metric="acc"), dict(metric="acc_norm")])
    words = dict(output_type="loglikelihood", doc_to_text="{{text.rsplit(' ', 1)[0]}}",
                 doc_to_target="{{' ' + text.rsplit(' ', 1)[1]}}", metric_list=[dict(metric="acc")])
    with open(path, encoding="utf-8") as file:
        kind = choices if "choices" in json.loads(file.readline()) else words
    task = ConfigurableTask(config=dict(task="t", dataset_path="json", test_split="test",
                                        dataset_kwargs={"data_files": {"test": path}}, **kind))
    lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1, device="cpu")
    found = evaluator.evaluate(lm=lm, task_dict={"t": task}, bootstrap_iters=0, log_samples=True)
    total = sum(log for sample in found["samples"]["t"] for log, _ in sample["filtered_resps"])
    result = found["results"]["t"]
    print(f"accuracy {result['acc,none']}, by the character {result.get('acc_norm,none')}, log-likelihood {total:.6f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("file")
    parser.add_argument("--venv")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        (answer_by_harness if options.model.endswith(".gguf") else answer)(options.model, options.file)
        return
    with tempfile.TemporaryDirectory() as temporary:
        place = options.venv or temporary
        python = os.path.join(place, "bin", "python")
        if not os.path.exists(python):
            venv.create(place, with_pip=True)
            subprocess.check_call([python, "-m", "pip", "install", "--quiet", *PACKAGES])
        sys.exit(subprocess.call([python, __file__, *sys.argv[1:], "--inside"]))


if __name__ == "__main__":
    main()
