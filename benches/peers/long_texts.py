"""Texts of 200 to 256 tokens made of glosses: `long_texts(tokenizer, glosses, count)`."""

LEAST, MOST = 200, 256


def long_texts(tokenizer, glosses, count):
    """`count` texts, each of glosses that follow one another, the next one beginning a few glosses on."""
    lengths = [len(encoding.ids) - 2 for encoding in tokenizer.encode_batch(glosses)]  # without the two special tokens
    texts, first = [], 0
    while len(texts) < count:
        parts, tokens, place = [], 2, first
        while tokens < LEAST:
            gloss, length = glosses[place % len(glosses)], lengths[place % len(glosses)]
            place += 1
            if tokens + length <= MOST:
                parts.append(gloss)
                tokens += length
        texts.append(" ".join(parts))
        first += 3
    return texts
