// SPDX-License-Identifier: MIT
// The work of the node row: buffers, compressed text, maps and JSON.
const zlib = require("zlib");

const kept = [];
let total = 0;
for (let turn = 0; turn < Number(process.argv[2]); turn++) {
	const records = [];
	for (let i = 0; i < 4000; i++)
		records.push({ id: i, name: `name ${(i * 7919) % 1009} ${turn}`, tags: Array(i % 9).fill(i) });
	const text = JSON.stringify(records);
	const packed = zlib.deflateSync(text, { level: 3 });
	total += JSON.parse(zlib.inflateSync(packed).toString()).length;
	const buffers = [];
	for (let i = 0; i < 3000; i++)
		buffers.push(Buffer.alloc(100 + ((i * 7919) % 20000), i & 255));
	total += Buffer.concat(buffers.slice(0, 200)).length;
	kept[turn % 3] = [buffers.filter((_, i) => i % 10 === 0), new Map(records.map((each) => [each.name, each]))];
}
console.log(total);
