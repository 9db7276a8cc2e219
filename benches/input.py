"""Python's side of `benches/input.rs`: makes the data in a folder, then reads what each line names, and prints its seconds.

    input.py FOLDER
"""

import sys
import time
from pathlib import Path

import numpy as np
import polars
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

IMAGES, ROWS, COLUMNS, WORDS = 1024, 200_000, 20, 1_500_000


def make(folder):
    drawn = np.random.default_rng(1)
    for number in range(IMAGES):
        of_class = folder / "images" / f"class{number % 4}"
        of_class.mkdir(parents=True, exist_ok=True)
        # Smooth, as a photograph is.
        small = Image.fromarray(drawn.integers(0, 256, (15, 20, 3), dtype=np.uint8))
        small.resize((320, 240), Image.Resampling.BICUBIC).save(of_class / f"{number}.jpg", quality=90)
    table = drawn.normal(size=(ROWS, COLUMNS)).round(6)
    frame = polars.DataFrame(table, schema=[f"x{i}" for i in range(COLUMNS)])
    frame = frame.with_columns(y=polars.Series(table.sum(axis=1).round(6)))
    frame.write_csv(folder / "table.csv")
    frame.write_parquet(folder / "table.parquet")
    letters = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
    lengths = drawn.integers(1, 9, 20_000)
    words = ["".join(letters[np.minimum(drawn.geometric(0.12, length) - 1, 25)]) for length in lengths]
    picked = np.minimum(drawn.zipf(1.3, WORDS) - 1, len(words) - 1)
    lines = [" ".join(words[i] for i in picked[start : start + 12]) for start in range(0, WORDS, 12)]
    (folder / "text.txt").write_text("\n".join(lines) + "\n")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=8000, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(lines[:40_000], trainer)
    tokenizer.save(str(folder / "tokenizer.json"))


def images(folder):
    change = [
        transforms.Resize(144),
        transforms.CenterCrop(128),
        transforms.RandomResizedCrop(128, scale=(0.3, 1.0)),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
    ]
    data = datasets.ImageFolder(folder / "images", transforms.Compose(change))
    for _ in DataLoader(data, batch_size=64, shuffle=True, num_workers=2):
        pass


def table(frame):
    frame.drop("y").to_numpy().astype(np.float32)
    frame["y"].to_numpy().astype(np.float32)


def text(folder):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    lines = (folder / "text.txt").read_text().splitlines(keepends=True)
    # Pieces of many lines, as one would cut a long text.
    pieces = ["".join(lines[start : start + 1000]) for start in range(0, len(lines), 1000)]
    np.concatenate([np.array(piece.ids, dtype=np.uint32) for piece in tokenizer.encode_batch(pieces)])


READ = {
    "images": images,
    "csv": lambda folder: table(polars.read_csv(folder / "table.csv")),
    "parquet": lambda folder: table(polars.read_parquet(folder / "table.parquet")),
    "text": text,
}


def main():
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    make(folder)
    print("ready", flush=True)
    for line in sys.stdin:
        began = time.perf_counter()
        READ[line.strip()](folder)
        print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
