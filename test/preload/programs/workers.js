// SPDX-License-Identifier: MIT
// Worker threads, Buffer churn, zlib and crypto in the thread pool.
'use strict';
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const crypto = require('crypto');
const zlib = require('zlib');
const util = require('util');

async function work(seed) {
  const hash = crypto.createHash('sha256');
  let kept = [];
  for (let i = 0; i < 4000; i++) {
    const buffer = Buffer.alloc((i * 37 + seed) % 30000, i & 255);
    if (i % 5 === 0) kept.push(buffer);
    if (kept.length > 100) kept = kept.slice(50);
    if (i % 100 === 0) hash.update(buffer);
  }
  const gzip = util.promisify(zlib.deflate);
  const gunzip = util.promisify(zlib.inflate);
  const packed = await Promise.all(kept.map((buffer) => gzip(buffer)));
  for (const buffer of await Promise.all(packed.map((p) => gunzip(p)))) hash.update(buffer);
  const objects = Array.from({ length: 20000 }, (_, i) => ({ i, text: 'x'.repeat(i % 30) }));
  hash.update(JSON.stringify(objects));
  return hash.digest('hex');
}

if (isMainThread) {
  const results = [1, 2, 3].map((seed) => new Promise((resolve, reject) => {
    new Worker(__filename, { workerData: seed }).on('message', resolve).on('error', reject);
  }));
  results.push(work(4));
  Promise.all(results).then((lines) => console.log(lines.join('\n')));
} else {
  work(workerData).then((line) => parentPort.postMessage(line));
}
