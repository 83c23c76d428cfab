# SPDX-License-Identifier: MIT
# Everything a Python program allocates; meant for PYTHONMALLOC=malloc.
import decimal
import re
import sqlite3
import xml.etree.ElementTree as tree

words = ["w%d" % (n * 7919 % 5000) for n in range(40000)]
count = {}
for word in words:
    count[word] = count.get(word, 0) + 1
print(len(count), sorted(count.items())[:3])

root = tree.Element("root")
for n in range(4000):
    tree.SubElement(root, "item", number=str(n)).text = "text " * (n % 9)
copy = tree.fromstring(tree.tostring(root))
print(len(copy), sum(len(item.text or "") for item in copy))

text = " ".join(words)
print(len(re.sub(r"w(\d)(\d+)", r"<\2\1>", text)))

base = sqlite3.connect(":memory:")
base.execute("create table t(a integer primary key, b text)")
base.executemany("insert into t values(?, ?)", ((n, "b" * (n % 50)) for n in range(20000)))
print(base.execute("select count(*), sum(length(b)) from t").fetchone())

decimal.getcontext().prec = 3000
print(str(decimal.Decimal(2).sqrt())[-20:])

grown = bytearray()
for n in range(20000):
    grown += b"grow" * (n % 40)
del grown[1000:]
print(len(grown), (1 << 60000) % 1000003)
