# SPDX-License-Identifier: MIT
"""The work of the python row: rounds of small objects of all kinds, some of which live on."""
import json
import re
import sys


class Node:
    def __init__(self, key):
        self.key, self.left, self.right = key, None, None


def tree(count, seed):
    root = Node(seed)
    for _ in range(count):
        seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
        node = root
        while True:
            side = "left" if seed < node.key else "right"
            below = getattr(node, side)
            if below is None:
                setattr(node, side, Node(seed))
                break
            node = below
    return root


def text_work(number):
    words = [f"word{i * 7919 % 1009}-{number}" for i in range(4000)]
    counts = {}
    for word in words:
        counts.setdefault(word, []).append(len(counts))
    line = " ".join(words)
    return counts, re.sub(r"(\d+)-", r"<\1>", line), line.split(" ")


def json_work(number):
    records = [{"id": i, "name": f"name {i}", "tags": [str(i + j) for j in range(i % 7)], "score": i / 3}
               for i in range(1500)]
    return json.loads(json.dumps({"number": number, "records": records}))


kept = []
for turn in range(int(sys.argv[1])):
    kept.append((tree(2500, turn + 1), text_work(turn), json_work(turn)))
    if turn % 3 == 2:
        del kept[turn // 3]
print(len(kept), sum(len(each[2]["records"]) for each in kept))
