"""WordNet glosses, one a line, evenly spread over the whole database: glosses.py WORDNET_DIR COUNT OUT"""

import sys
from pathlib import Path


def glosses(folder):
    """Every gloss of the database in the order of its files: noun, verb, adjective, adverb."""
    found = []
    for part in ("noun", "verb", "adj", "adv"):
        for line in Path(folder, f"data.{part}").read_text(encoding="utf-8").splitlines():
            entry, bar, gloss = line.partition(" | ")
            if bar and not entry.startswith(" "):  # the licence lines start with a blank
                found.append(gloss.strip())
    return found


def spread(rows, count):
    """`count` of the rows at even distances; all of them, repeated from the start, where there are fewer."""
    if count <= len(rows):
        return [rows[i * len(rows) // count] for i in range(count)]
    return [rows[i % len(rows)] for i in range(count)]


if __name__ == "__main__":
    folder, count, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    Path(out).write_text("".join(row + "\n" for row in spread(glosses(folder), count)), encoding="utf-8")
