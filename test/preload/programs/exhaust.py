# SPDX-License-Identifier: MIT
# Runs out of memory by small blocks and by large ones, three times, and goes
# on; what it holds stays as it was.
import sys

small, large = int(sys.argv[1]), int(sys.argv[2])
for turn in range(3):
    for size in (small, large):
        held = [None] * 400000
        count = 0
        try:
            while count < len(held):
                held[count] = b"%08d" % count * (size // 8)
                count += 1
        except MemoryError:
            pass
        assert 1 < count < len(held), count
        for n in range(0, count, 2):
            held[n] = None
        for n in range(1, count, 98):
            assert held[n] == b"%08d" % n * (size // 8)
        held = None
        print("turn", turn, "size", size, "ran out and went on")
