#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Folders of models quantized by VPTQ, against the Python package vptq.

    python3 tests/oracle/vptq-folder.py make tests/data/vptq
    python3 tests/oracle/vptq-folder.py check FOLDER DECODED.safetensors

make writes two small folders, f16 and bf16, packed by the package's own pack_index, and in each decoded.safetensors: the weights that the
package makes of them. tests/test-reader-vptq.c compares `load` with those.

check reads any folder with the package and compares with DECODED, bit for bit. To see that the package reads what we write:
    afpipe-launch "load location=MODEL ! vptq axis=output ... ! write location=FOLDER format=vptq"
    afpipe-launch "load location=FOLDER ! write location=DECODED.safetensors"

What is run: VQuantLinear as the package's loader makes it from config.json (strict load_state_dict), its forward() on the CPU, where the
package takes its Torch code for want of CUDA kernels; the weight is caught where it goes into the matrix product. What is not: the CUDA
kernels. Packages that only the package's other modules import are stubbed. Tried by hand besides, with stories260k: transformers 4.49 on
the CPU loads a folder that we wrote, with the same logits as the decoded model; the package's own AutoModelForCausalLM stops there at
meta tensors in accelerate.

The packages are installed into a virtual environment that goes when the script ends, or is $AFP_ORACLE_VENV if that is set
and has them.
"""
import json
import os
import subprocess
import sys
import tempfile
import types
import venv

PACKAGES = ["torch", "numpy", "safetensors==0.8.0"]
WITHOUT_DEPENDENCIES = ["vptq==0.0.5.post1"]
STUBS = {"accelerate": [], "huggingface_hub": [], "transformers": ["AutoModelForCausalLM"], "tqdm": ["tqdm"],
         "sentence_transformers": [], "sentence_transformers.SentenceTransformer": ["SentenceTransformer"]}


def import_package():
    for name, classes in STUBS.items():
        module = types.ModuleType(name)
        for each in classes:
            setattr(module, each, type(each, (), {}))
        sys.modules[name] = module
    import vptq  # noqa: F401
    from vptq.layers.vqlinear import VQuantLinear
    return VQuantLinear, sys.modules["vptq.ops.quant_gemm"]


# --- the package's weights ---

def find_layers(config, names):
    quantization = config["quantization_config"]
    layers = dict(quantization.get("config_for_layers", {}))
    shared = quantization.get("shared_layer_config", {})
    for name in names:
        if name.endswith(".indices") and name[:-8] not in layers:
            layers[name[:-8]] = shared[name[:-8].rsplit(".", 1)[-1]]
    return layers


def decode(layer, state, dtype):
    import torch
    linear_class, gemm = import_package()
    linear = linear_class(**layer, enable_proxy_error=False, dtype=dtype)
    linear.load_state_dict(state, strict=True)
    caught = []
    gemm.F = types.SimpleNamespace(linear=lambda x, weight, bias: caught.append(weight))
    linear(torch.zeros(1, layer["in_features"], dtype=dtype))
    return caught[0].detach().contiguous()


def read_arrays(folder):
    from safetensors.torch import load_file
    index = os.path.join(folder, "model.safetensors.index.json")
    if not os.path.exists(index):
        return load_file(os.path.join(folder, "model.safetensors"))
    arrays = {}
    with open(index) as file:
        for shard in set(json.load(file)["weight_map"].values()):
            arrays.update(load_file(os.path.join(folder, shard)))
    return arrays


def decode_folder(folder):
    import torch
    with open(os.path.join(folder, "config.json")) as file:
        config = json.load(file)
    dtype = getattr(torch, config["torch_dtype"])
    arrays = read_arrays(folder)
    decoded = {}
    layers = find_layers(config, arrays)
    for name, layer in layers.items():
        state = {key[len(name) + 1:]: arrays.pop(key) for key in list(arrays) if key.startswith(name + ".")}
        decoded[name + ".weight"] = decode(layer, state, dtype)
        if "bias" in state:
            decoded[name + ".bias"] = state["bias"]
    return {**arrays, **decoded}, len(layers)


def check(folder, path):
    import torch
    from safetensors.torch import load_file
    ours, (theirs, n) = load_file(path), decode_folder(folder)
    wrong = sorted(set(ours) ^ set(theirs))
    for name in sorted(set(ours) & set(theirs)):
        a, b = ours[name].contiguous(), theirs[name].contiguous()
        if a.dtype != b.dtype or a.shape != b.shape or not torch.equal(a.view(torch.uint8), b.view(torch.uint8)):
            wrong.append(name)
    print(f"{len(theirs)} tensors, {n} of them quantized: {'all equal' if not wrong else 'different: ' + ', '.join(wrong)}")
    sys.exit(1 if wrong else 0)


# --- small folders ---

def describe(out, cols, v, k, res=-1, groups=1, outliers=0, outlier=(-1, -1), norm=True, perm=False, packed=True, bias=False):
    return {"in_features": cols, "out_features": out, "bias": bias, "vector_lens": [outlier[0], v], "num_centroids": [outlier[1], k],
            "num_res_centroids": [-1, res], "group_num": groups, "group_size": (cols - outliers) // groups,
            "outlier_size": outliers, "enable_norm": norm, "enable_perm": perm, "is_indice_packed": packed,
            "indices_as_float": False}


def make_state(layer, dtype, stored):
    """Random arrays of a linear. What is stored in another type than the model's is rounded by whoever reads it."""
    import torch
    _, _ = import_package()
    from vptq.utils.pack import pack_index
    g, size, cols, out = layer["group_num"], layer["group_size"], layer["in_features"], layer["out_features"]
    (v0, v), (k0, k), res = layer["vector_lens"], layer["num_centroids"], layer["num_res_centroids"][1]
    rows = -(-out // v)

    def numbers(*shape):
        return torch.randn(*shape).to(stored)

    def indices(n, *shape):
        return torch.randint(0, n, shape).to(torch.uint16)

    state = {"centroids.weight": numbers(g, k * v)}
    main = indices(k, g, rows, size)
    if res > 0:
        state["res_centroids.weight"] = (numbers(g, res * v) * 0.1).to(stored)
    if layer["is_indice_packed"]:
        bits = [n.bit_length() - 1 for n in (k, max(res, 1))]
        residual = indices(res, g, rows, size) if res > 0 else None
        state["indices"] = pack_index(main, bits[0], residual, bits[1], index_dtype=torch.uint16)
    else:
        state["indices"] = main.view(torch.int16)
    if v0 > 1:
        state["outlier_centroids.weight"] = numbers(1, k0 * v0)
        state["outlier_indices"] = indices(k0, 1, -(-out // v0), layer["outlier_size"]).view(torch.int16)
    if layer["enable_norm"]:
        state["weight_scale"] = (numbers(cols) * 0.3 + 1).to(stored)
        state["weight_bias"] = (numbers(cols) * 0.1).to(stored)
    if layer["enable_perm"]:
        state["perm"] = torch.randperm(cols).to(torch.uint16).view(torch.int16)
    if layer["bias"]:
        state["bias"] = torch.randn(out).to(dtype)
    return state


FOLDERS = {
    "f16": ("float16", "float16", {
        "model.layers.0.self_attn.q_proj": describe(20, 21, 8, 256, 16),
        "model.layers.0.self_attn.k_proj": describe(10, 19, 2, 512, 512),
        "model.layers.0.self_attn.v_proj": describe(22, 17, 6, 32, 8, 3, 2, (4, 16), perm=True, bias=True),
        "model.layers.0.self_attn.o_proj": describe(9, 33, 4, 128, norm=False, perm=True),
        "model.layers.0.mlp.up_proj": describe(11, 12, 3, 6, packed=False),
    }, {"down_proj": describe(13, 40, 6, 2)}),
    "bf16": ("bfloat16", "float32", {
        "model.layers.0.self_attn.q_proj": describe(16, 24, 4, 64, 64),
        "model.layers.0.self_attn.v_proj": describe(17, 30, 5, 16, outliers=6, outlier=(2, 8), groups=2, perm=True),
    }, {}),
}


def make(folder):
    import torch
    from safetensors.torch import save_file
    torch.manual_seed(6)
    for place, (dtype_name, stored, layers, shared) in FOLDERS.items():
        place, dtype = os.path.join(folder, place), getattr(torch, dtype_name)
        os.makedirs(place, exist_ok=True)
        arrays = {"model.embed_tokens.weight": torch.randn(6, 8).to(dtype), "model.norm.weight": torch.randn(8).to(dtype)}
        all_layers = {**layers, **{"model.layers.1.mlp." + name: layer for name, layer in shared.items()}}
        for name, layer in all_layers.items():
            for key, array in make_state(layer, dtype, getattr(torch, stored)).items():
                arrays[f"{name}.{key}"] = array.contiguous()
        save_file(arrays, os.path.join(place, "model.safetensors"), {"format": "pt"})
        quantization = {"quant_method": "vptq", "config_for_layers": layers}
        if shared:
            quantization["shared_layer_config"] = shared
        with open(os.path.join(place, "config.json"), "w") as file:
            json.dump({"model_type": "llama", "torch_dtype": dtype_name, "quantization_config": quantization}, file, indent=1)
            file.write("\n")
        save_file(decode_folder(place)[0], os.path.join(place, "decoded.safetensors"), {"format": "pt"})


# --- the script ---

def main():
    if len(sys.argv) < 2 or {"make": 3, "check": 4}.get(sys.argv[1]) != len(sys.argv):
        sys.exit(__doc__)
    if os.environ.get("AFP_ORACLE_VENV"):
        return make(sys.argv[2]) if sys.argv[1] == "make" else check(*sys.argv[2:])
    with tempfile.TemporaryDirectory() as place:
        venv.create(place, with_pip=True)
        python = os.path.join(place, "bin", "python")
        install = [python, "-m", "pip", "install", "-q"]
        subprocess.run([*install, *PACKAGES], check=True)
        subprocess.run([*install, "--no-deps", *WITHOUT_DEPENDENCIES], check=True)
        done = subprocess.run([python, os.path.abspath(__file__), *sys.argv[1:]], env={**os.environ, "AFP_ORACLE_VENV": place})
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()
