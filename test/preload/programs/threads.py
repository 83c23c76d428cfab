# SPDX-License-Identifier: MIT
# Threads that allocate, and hand what they made to one another.
import hashlib
import json
import queue
import threading
import zlib

THREADS = 6
boxes = [queue.Queue() for _ in range(THREADS)]
digests = [None] * THREADS


def work(me):
    digest = hashlib.sha256()
    for turn in range(12):
        rows = [{"n": i, "text": "%d" % i * (i % 13), "list": list(range(i % 17))} for i in range(400)]
        packed = zlib.compress(json.dumps(rows).encode())
        boxes[(me + 1) % THREADS].put((turn, packed, bytearray(turn * 40000)))
        got_turn, got, array = boxes[me].get()
        assert got_turn == turn and len(array) == turn * 40000 and not any(array)
        digest.update(zlib.decompress(got))
    digests[me] = digest.hexdigest()


threads = [threading.Thread(target=work, args=(i,)) for i in range(THREADS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert len(set(digests)) == 1
print(digests[0])
for n in range(300):  # short-lived threads
    thread = threading.Thread(target=lambda: bytes(5000).count(0))
    thread.start()
    thread.join()
print("done")
