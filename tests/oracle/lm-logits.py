#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Logits of language models by PyTorch and the package transformers, in double: what the tests of runtime/ are held to.

    python3 tests/oracle/lm-logits.py tiny tests/data/lm
    python3 tests/oracle/lm-logits.py gguf SmolLM2-135M-Instruct.Q4_1.gguf tests/data/lm/smollm2.json
    python3 tests/oracle/lm-logits.py gguf FILE.gguf FILE.json --full FILE.f64

tiny: makes small models of every architecture with made-up weights, each a folder in the Hugging Face layout with its
logits (logits.json). gguf: dequantizes a GGUF file of the Llama architecture with the package gguf; the logits of some
tokens at some positions of a text, their range, and the negative log likelihood of all of it go to a JSON file; with
--full, all logits as float64. The packages are installed into a virtual environment that goes when the script ends, or,
with --venv FOLDER, stays there. Nobody needs this script to run the tests: the files are kept.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv

PACKAGES = ["torch==2.15.0", "transformers==5.24.0", "gguf==0.19.0", "numpy==2.4.6", "safetensors==0.8.0"]

TEXT = """It was a bright cold day in April when the two engineers came back to the valley. "We can't leave it
like this," said Ann; "the dam holds 12,400,000 cubic metres, and it's leaking." They measured the flow twice: once at
7:30, once at 19:05. Nothing had changed.

In 1923 the first turbine was built by a small company from Zürich. It ran for sixty-one years, with three repairs, and
gave light to about 300 houses. The museum keeps its shaft, a wheel of bronze, and the diary of the man who oiled it:
"Tuesday. Rain. All well." A model of the valley stands in the next room, and children may turn the little wheels. Why
does water run downhill? Because everything falls, and water finds the way. def area(r): return 3.14159 * r ** 2
"""


# --- small models ---

def tiny_models(transformers):
    sizes = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, vocab_size=32,
                 max_position_embeddings=64, bos_token_id=1, eos_token_id=2, tie_word_embeddings=False)
    gqa = dict(sizes, num_key_value_heads=2)
    llama3 = dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                  original_max_position_embeddings=16)
    t = transformers
    return {
        "llama": t.LlamaForCausalLM(t.LlamaConfig(**gqa, attention_bias=True)),
        "llama3": t.LlamaForCausalLM(t.LlamaConfig(**{**gqa, "tie_word_embeddings": True}, head_dim=8,
                                                   rope_parameters=llama3)),
        "mistral": t.MistralForCausalLM(t.MistralConfig(**gqa, head_dim=6)),
        "qwen2": t.Qwen2ForCausalLM(t.Qwen2Config(**gqa, rope_parameters=dict(
            rope_type="linear", rope_theta=1000.0, factor=2.0))),
        "qwen3": t.Qwen3ForCausalLM(t.Qwen3Config(**gqa, head_dim=10)),
        "bitnet": t.BitNetForCausalLM(t.BitNetConfig(**{**gqa, "num_key_value_heads": 1})),
    }


def make_tiny(folder):
    import torch
    import transformers

    torch.manual_seed(11)
    for name, model in tiny_models(transformers).items():
        place = os.path.join(folder, name)
        for key, tensor in model.state_dict().items():
            norm = key.endswith("norm.weight") or "layernorm" in key
            tensor.copy_(torch.rand_like(tensor) + 0.5 if norm else torch.randn_like(tensor) * 0.4)
        model.to(torch.float16).save_pretrained(place)
        for extra in os.listdir(place):
            if extra not in ("config.json", "model.safetensors"):
                os.remove(os.path.join(place, extra))
        model = type(model).from_pretrained(place, dtype=torch.float64).eval()
        ids = [1] + [(i * i + 3 * i) % 32 for i in range(39)]
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0]
        rows = [0, 1, 2, 17, 39]
        record = {"ids": ids, "rows": rows, "logits": [[float(f"{v:.6g}") for v in logits[r].tolist()] for r in rows]}
        with open(os.path.join(place, "logits.json"), "w") as file:
            json.dump(record, file)
            file.write("\n")


# --- a GGUF file ---

def unpermute(weights, heads):
    """Rows of q and k from neighbouring pairs to halves."""
    out, width = weights.shape
    return weights.reshape(heads, out // heads // 2, 2, width).swapaxes(1, 2).reshape(out, width)


NAMES = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
         "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
         "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}


def load_gguf(path):
    import gguf
    import torch
    import transformers

    reader = gguf.GGUFReader(path)

    def get(key):
        return reader.fields["llama." + key].contents()

    heads, kv_heads = get("attention.head_count"), get("attention.head_count_kv")
    state = {}
    for tensor in reader.tensors:
        data = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype("float64")
        part = tensor.name.split(".")
        if part[0] == "blk":
            if part[2] in ("attn_q", "attn_k"):
                data = unpermute(data, heads if part[2] == "attn_q" else kv_heads)
            name = f"model.layers.{part[1]}.{NAMES[part[2]]}.weight"
        else:
            name = {"token_embd": "model.embed_tokens.weight", "output_norm": "model.norm.weight",
                    "output": "lm_head.weight"}[part[0]]
        state[name] = torch.from_numpy(data.copy())
    config = transformers.LlamaConfig(
        hidden_size=get("embedding_length"), intermediate_size=get("feed_forward_length"),
        num_hidden_layers=get("block_count"), num_attention_heads=heads, num_key_value_heads=kv_heads,
        vocab_size=state["model.embed_tokens.weight"].shape[0], max_position_embeddings=get("context_length"),
        rms_norm_eps=get("attention.layer_norm_rms_epsilon"), tie_word_embeddings="lm_head.weight" not in state,
        rope_parameters=dict(rope_type="default", rope_theta=get("rope.freq_base")))
    model = transformers.LlamaForCausalLM(config).to(torch.float64)
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
    model.tie_weights()
    return model.eval()


def run_gguf(path, out, full):
    import torch
    import transformers

    folder, name = os.path.split(os.path.abspath(path))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=name)
    ids = tokenizer(TEXT, add_special_tokens=False).input_ids
    with torch.no_grad():
        logits = load_gguf(path)(torch.tensor([ids])).logits[0]
    nll = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(ids[1:])).item()
    rows = [0, 1, len(ids) // 2, len(ids) - 1]
    tokens = sorted(set(range(0, logits.shape[1], 997)) | set(ids[:24]))
    record = {"ids": ids, "nll": nll, "top1": (logits[:-1].argmax(1) == torch.tensor(ids[1:])).sum().item(),
              "least": logits.min().item(), "most": logits.max().item(), "rows": rows, "tokens": tokens,
              "logits": [[float(f"{logits[r, t].item():.8g}") for t in tokens] for r in rows]}
    with open(out, "w") as file:
        json.dump(record, file)
        file.write("\n")
    if full:
        logits.numpy().tofile(full)


# --- the script ---

def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["tiny", "gguf"])
    parser.add_argument("files", nargs="+", help="tiny: a folder; gguf: the model, the JSON file")
    parser.add_argument("--full", help="all logits, as float64")
    parser.add_argument("--venv", help="folder of the virtual environment")
    args = parser.parse_args()
    if len(args.files) != {"tiny": 1, "gguf": 2}[args.what]:
        parser.error("tiny FOLDER, or gguf MODEL JSON")
    if os.environ.get("AFP_ORACLE_VENV"):
        make_tiny(*args.files) if args.what == "tiny" else run_gguf(*args.files, args.full)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.venv or temporary
        python = os.path.join(folder, "bin", "python")
        if not os.path.exists(python):
            venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES], check=True)
        subprocess.run([python, os.path.abspath(__file__), *sys.argv[1:]], check=True,
                       env={**os.environ, "AFP_ORACLE_VENV": folder, "HF_HUB_OFFLINE": "1"})


if __name__ == "__main__":
    main()
