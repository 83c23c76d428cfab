# SPDX-License-Identifier: MIT
# Strings, hashes, threads, garbage collections and fork.
require "json"
require "zlib"

def work(seed)
  table = {}
  20_000.times do |i|
    table["key#{i * 31 % 3000}"] = "x" * ((i * seed) % 300)
  end
  rows = Array.new(3000) { |i| { "n" => i, "list" => Array.new(i % 10) { |j| i * j } } }
  text = JSON.generate(rows)
  GC.start
  back = JSON.parse(Zlib::Inflate.inflate(Zlib::Deflate.deflate(text)))
  raise unless back == rows
  [table.size, table.values.sum(&:size), text.size, Zlib.crc32(text)].join(" ")
end

puts work(1)
puts (1..4).map { |n| Thread.new { work(n) } }.map(&:value)
3.times do |n|
  IO.popen("-") do |child|
    if child
      puts "child: #{child.read}"
    else
      puts work(n + 5)
    end
  end
  raise unless $?.success?
end
GC.stress = true
puts Array.new(20) { |i| "stress#{i}" }.join.size
GC.stress = false
GC.compact if GC.respond_to?(:compact)
puts work(9)
