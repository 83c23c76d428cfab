# SPDX-License-Identifier: MIT
# The work of the ruby row: strings, arrays, hashes and symbols, some of which live on.
kept = []
total = 0
ARGV[0].to_i.times do |turn|
  words = (1..6000).map { |i| "a word of some length, number #{i * 7919 % 1009} in turn #{turn}" }
  counts = Hash.new { |hash, key| hash[key] = [] }
  words.each_with_index { |word, i| counts[word] << i }
  text = words.join(" ")
  total += text.gsub(/number (\d+)/) { "<#{$1}>" }.size
  rows = (1..3000).map { |i| { id: i, name: "name " * (i % 9), list: Array.new(i % 23, i) } }
  total += rows.sort_by { |row| row[:name] + row[:id].to_s }.sum { |row| row[:list].size }
  kept << [words.first(500), counts.size, rows.last(500)]
  kept.shift if kept.size > 5
end
puts total
