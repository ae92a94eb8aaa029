"""Writes fashion_14x14.bin beside this file.

Usage: generate_fashion.py FOLDER, with the four IDX files of Fashion-MNIST, gzipped or not.
2,400 images of the training part and 1,000 of the test part, drawn without replacement by Python's
own generator, seed 0, in the drawn order; means of 2x2 pixels, rounded to 16 levels. First all images,
two pixels a byte (the earlier one in the high half), then a byte for each label. Only the standard
library (Python 3.11).
"""

import gzip
import pathlib
import random
import sys

HERE = pathlib.Path(__file__).parent


def read(folder, name):
    plain = pathlib.Path(folder) / name
    return plain.read_bytes() if plain.exists() else gzip.open(f"{plain}.gz").read()


def pooled(image):
    at = lambda row, column: image[28 * row + column]
    sums = [
        sum(at(2 * r + i, 2 * c + j) for i in (0, 1) for j in (0, 1))
        for r in range(14)
        for c in range(14)
    ]
    # 4 x 255 is level 15; halves go up.
    levels = [(2 * 15 * s + 1020) // (2 * 1020) for s in sums]
    return bytes(16 * a + b for a, b in zip(levels[::2], levels[1::2]))


def main(folder):
    generator = random.Random(0)
    images, labels = bytearray(), bytearray()
    for part, n in (("train", 2400), ("t10k", 1000)):
        pixels = read(folder, f"{part}-images-idx3-ubyte")[16:]
        classes = read(folder, f"{part}-labels-idx1-ubyte")[8:]
        for i in generator.sample(range(len(classes)), n):
            images += pooled(pixels[784 * i : 784 * (i + 1)])
            labels.append(classes[i])
    (HERE / "fashion_14x14.bin").write_bytes(images + labels)


if __name__ == "__main__":
    main(sys.argv[1])
