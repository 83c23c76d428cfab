-- SPDX-License-Identifier: MIT
-- Tables, strings, closures and coroutines; every block comes from realloc.
local sum, kept = 0, {}
for i = 1, 120000 do
	kept[i % 5000] = { n = i, text = ("x"):rep(i % 60) .. i, list = { i, i + 1, i + 2 } }
	if i % 20000 == 0 then collectgarbage() end
end
for _, item in pairs(kept) do
	sum = sum + item.n + #item.text + #item.list
end
print(sum)

local parts = {}
for i = 1, 60000 do
	parts[#parts + 1] = tostring(i * 7 % 1013)
end
local text = table.concat(parts, ",")
print(#text, select(2, text:gsub("1", "one")))

local threads = {}
for i = 1, 3000 do
	threads[i] = coroutine.wrap(function(n)
		while true do
			n = coroutine.yield(n .. "!")
		end
	end)
end
local length = 0
for turn = 1, 5 do
	for i, thread in ipairs(threads) do
		length = length + #thread(i * turn)
	end
end
print(length)
