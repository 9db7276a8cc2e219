"""Writes tokenizers with regular expressions, each with a text and the ids that the library of Hugging Face gives.

`tokenizers` 0.23.3 of the Python package index, whose builds have Oniguruma: pip install tokenizers==0.23.3
"""

import json
import pathlib

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers


def split(*patterns, behavior="isolated", invert=False):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(p), behavior, invert) for p in patterns])


# The patterns of published tokenizers, and what the dialects of regular expressions read differently.
CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]"
          r"|\s+(?!\S)|\s")
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
MIXED = "In 1234567 of 98765432 cases I'LL say: it's  fine…\n\n  x = y_1 + α²; Ünïcode ﬁ ½ 中文字 นี่ e\u0301 👩\u200d💻 a\u200db\r\n\tend  "
LINES = "one line\n\nanother line \nand a third\n"
CASES = {
    "cl100k": (split(CL100K), None, MIXED),
    "o200k": (split(O200K), None, MIXED),
    "llama3": (split(LLAMA3), None, MIXED),
    "gpt2": (split(GPT2), None, MIXED),
    "digits": (split(r"\p{N}{1,3}+", r"\d{2}(?=\d)"), None, MIXED),
    "posix": (split(r"[[:alpha:]]+|[[:digit:]]{2}|[[:punct:]]|[[:space:]]+|[^[:alnum:][:space:]]"), None, MIXED),
    "words": (split(r"\w+|\W", r"\b"), None, MIXED),
    "lines": (split(r"^\w+|\w+$|^$|\s"), None, LINES),
    "dot": (split(r"(?m).+?e|(?i)LINE."), None, LINES),
    "anchors": (split(r"\A\w+|\w+\Z|\G\s"), None, LINES),
    "removed": (split(r"\s+", behavior="removed"), None, MIXED),
    "inverted": (split(r"[\p{Han}\p{Thai}]+|\h+", invert=True), None, MIXED),
    "replaced": (split(r" "), normalizers.Sequence([normalizers.Replace(Regex(r"^\s+|\s+$"), ""),
                                                    normalizers.Replace(Regex(r"[[:upper:]]"), "U")]), LINES + MIXED),
}


def main():
    here, expected = pathlib.Path(__file__).parent, {}
    for name, (pre, normal, text) in CASES.items():
        empty = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
        empty.pre_tokenizer = pre
        if normal is not None:
            empty.normalizer = normal
        normalized = empty.normalizer.normalize_str(text) if normal is not None else text
        pieces = [piece for piece, _ in pre.pre_tokenize_str(normalized)]
        words = {"?": 0}
        for piece in pieces:
            words.setdefault(piece, len(words))
        made = Tokenizer(models.WordLevel(words, unk_token="?"))
        made.pre_tokenizer = pre
        if normal is not None:
            made.normalizer = normal
        expected[name] = {"tokenizer": json.loads(made.to_str()), "text": text,
                          "ids": made.encode(text, add_special_tokens=False).ids}
    (here / "regex.json").write_text(json.dumps(expected, ensure_ascii=True, separators=(",", ":")) + "\n")


main()
