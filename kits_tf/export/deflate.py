"""zlib compression in TensorFlow ops, for arrays of long runs such as labels.

TensorFlow decompresses zlib but has no op that compresses. Runs of one value become, in deflate's fixed Huffman codes
(RFC 1951, section 3.2.6), a literal and copies of the byte before it (distance 1, up to 258 bytes each): 13 bits for
258 voxels. Any zlib reads it.
"""

import numpy as np
import tensorflow as tf

LONGEST = 258  # bytes that one copy gives
ADLER = 65521
VALUES = 3  # labels: background, kidney, tumor
HEADER = b"\x78\x01"
LENGTHS = (
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    10,
    11,
    13,
    15,
    17,
    19,
    23,
    27,
    31,
    35,
    43,
    51,
    59,
    67,
    83,
    99,
    115,
    131,
    163,
    195,
    227,
)


def literal(value):
    """(bits, count) of a byte below 144; the first bit of the stream is the lowest."""
    return reversed_bits(0x30 + value, 8), 8


def copy(length):
    """(bits, count) of `length` more of the byte before, 3 to 258."""
    if length == LONGEST:
        symbol, extra, extra_count = 285, 0, 0
    else:
        index = max(i for i, base in enumerate(LENGTHS) if base <= length)
        symbol, extra, extra_count = 257 + index, length - LENGTHS[index], max(0, index // 4 - 1)
    code, count = (symbol - 256, 7) if symbol < 280 else (0xC0 + symbol - 280, 8)
    distance_count = 5  # distance 1 is code 0
    return reversed_bits(code, count) | extra << count, count + extra_count + distance_count


def reversed_bits(code, count):
    """A Huffman code as it lies in the stream: its highest bit first."""
    return int(format(code, f"0{count}b")[::-1], 2)


def run_codes():
    """(bits, counts), int64 [values, 258]: a literal and 0 to 257 more of it, without whole copies of 258."""
    bits, counts = np.zeros((2, VALUES, LONGEST), np.int64)
    for value in range(VALUES):
        for more in range(LONGEST):
            codes = [literal(value)] + ([copy(more)] if more >= 3 else [literal(value)] * more)
            for code, count in codes:
                bits[value, more] |= code << counts[value, more]
                counts[value, more] += count
    return bits, counts


def compress(labels):
    """The zlib stream of a vector of labels.

    Args:
        labels: uint8 [n], n > 0, values 0, 1 and 2.

    Returns:
        A string scalar.
    """
    size = tf.size(labels, tf.int64)
    start = tf.concat([[0], tf.where(labels[1:] != labels[:-1])[:, 0] + 1], axis=0)
    length = tf.concat([start[1:], size[None]], axis=0) - start
    value = tf.cast(tf.gather(labels, start), tf.int64)
    body = pack(*tokens(value, length))
    checksum = big_endian(adler32(value, start, length, size))
    return tf.strings.join([HEADER, to_string(body), to_string(checksum)])


def tokens(value, length):
    """(bits, counts) int64 [tokens] of one deflate block that gives the runs."""
    bits, counts = run_codes()
    whole, more = (length - 1) // LONGEST, (length - 1) % LONGEST
    position = tf.cumsum(whole + 1, exclusive=True) + 1  # behind the token that opens the block
    total = tf.reduce_sum(whole + 1) + 2
    copy_bits, copy_count = copy(LONGEST)
    index = value * LONGEST + more

    def filled(start, copy_token, of_runs, end):
        inner = tf.tensor_scatter_nd_update(tf.fill(total[None], copy_token), position[:, None], of_runs)
        return tf.concat([[start], inner[1:-1], [end]], axis=0)

    final_and_fixed = 1 | 1 << 1, 3
    end_of_block = 0, 7
    return (
        filled(tf.cast(final_and_fixed[0], tf.int64), tf.cast(copy_bits, tf.int64),
               tf.gather(bits.ravel(), index), tf.cast(end_of_block[0], tf.int64)),
        filled(tf.cast(final_and_fixed[1], tf.int64), tf.cast(copy_count, tf.int64),
               tf.gather(counts.ravel(), index), tf.cast(end_of_block[1], tf.int64)),
    )  # fmt: skip


def pack(bits, counts):
    """The bytes, int32, of tokens laid bit by bit one behind the other; a token has at most 26 bits."""
    position = tf.cumsum(counts, exclusive=True)
    size = (position[-1] + counts[-1] + 7) // 8
    shifted = tf.bitwise.left_shift(bits, position % 8)
    total = tf.zeros(size[None], tf.int32)
    for byte in range(5):
        part = tf.cast(tf.bitwise.right_shift(shifted, tf.cast(8 * byte, tf.int64)) % 256, tf.int32)
        index = tf.minimum(position // 8 + byte, size - 1)  # what would lie beyond the end is zero
        total = tf.tensor_scatter_nd_add(total, index[:, None], part)
    return total


def adler32(value, start, length, size):
    """The checksum of runs (RFC 1950), int64."""
    total = tf.reduce_sum(value * length)
    stop = start + length
    # Byte i counts size - i times in the second sum.
    times = length * size - (start + stop - 1) * length // 2
    weighted = tf.reduce_sum(value * (times % ADLER)) + size
    return (weighted % ADLER) * 65536 + (1 + total) % ADLER


def big_endian(word):
    """The four bytes of a word below 2**32, int32."""
    return tf.cast(tf.bitwise.right_shift(word, tf.constant([24, 16, 8, 0], tf.int64)) % 256, tf.int32)


def to_string(values):
    """One string of bytes given as integers from 0 to 255."""
    # The bytes of a serialised tensor's values are its last ones.
    return tf.strings.substr(tf.io.serialize_tensor(tf.cast(values, tf.uint8)), -tf.size(values), tf.size(values))
