# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# For the compilers: templates of the standard library and of our own, on stdout.
templates() {
	local i
	cat <<-'C'
		#include <algorithm>
		#include <functional>
		#include <map>
		#include <memory>
		#include <string>
		#include <tuple>
		#include <unordered_map>
		#include <variant>
		#include <vector>
		template <int N> struct tag { static constexpr int value = N; };
		template <int N> struct chain : chain<N - 1> { tag<N> own; int sum() const { return N + chain<N - 1>::sum(); } };
		template <> struct chain<0> { int sum() const { return 0; } };
	C
	for ((i = 0; i < $1; i++)); do
		cat <<-C
			struct record$i { std::string name; std::map<std::string, std::vector<tag<$i>>> parts; int number; };
			int use$i(std::vector<record$i> &records, std::unordered_map<std::string, std::unique_ptr<record$i>> &named)
			{
				std::sort(records.begin(), records.end(), [](const auto &a, const auto &b) { return a.number < b.number; });
				std::function<int(const record$i &)> weigh = [&](const record$i &each) { return each.number + chain<$((i % 20 + 20))>{}.sum(); };
				std::variant<int, std::string, record$i> any = records.front();
				int sum = std::visit([](const auto &) { return $i; }, any);
				for (const auto &each : records) {
					named[each.name] = std::make_unique<record$i>(each);
					sum += weigh(each) + std::get<0>(std::make_tuple($i, each.name));
				}
				return sum;
			}
		C
	done
}
