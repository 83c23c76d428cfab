-- SPDX-License-Identifier: MIT
-- The work of the lua row: binary trees, text, tables that grow, closures.
local rounds = tonumber(arg[1])

local function tree(depth)
	if depth == 0 then return {} end
	return {tree(depth - 1), tree(depth - 1)}
end

local function count(node)
	return node[1] and 1 + count(node[1]) + count(node[2]) or 1
end

local total, kept = 0, {}
for round = 1, rounds do
	total = total + count(tree(13))
	local words, parts = {}, {}
	for i = 1, 8000 do
		local word = ("word%d"):format(i * 7919 % 4001 + round)
		words[word] = (words[word] or 0) + 1
		parts[#parts + 1] = word
	end
	local text = table.concat(parts, " ")
	for word in text:gmatch("%a+(%d+)") do total = total + #word end
	local makers = {}
	for i = 1, 3000 do makers[i] = function(x) return x + i + round end end
	total = total + makers[#makers](1)
	kept[round % 4] = {words, parts, makers}
end
print(total)
