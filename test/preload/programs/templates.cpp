// SPDX-License-Identifier: MIT
// Templates for the compiler; its program allocates, too.
#include <algorithm>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

template <int N> struct Row {
	std::map<int, std::vector<std::pair<std::string, std::unique_ptr<Row<N - 1>>>>> cells;
	int fill()
	{
		auto &list = cells[N];
		list.emplace_back(std::string(N, 'x'), std::make_unique<Row<N - 1>>());
		return static_cast<int>(list.back().first.size()) + list.back().second->fill();
	}
};
template <> struct Row<0> {
	int fill() { return 1; }
};

template <std::size_t... I> auto tuples(std::index_sequence<I...>)
{
	return std::make_tuple(std::integral_constant<std::size_t, I * I>{}...);
}

template <typename T, std::size_t... I> std::size_t sum(const T &t, std::index_sequence<I...>)
{
	return (std::get<I>(t) + ... + 0);
}

int main()
{
	Row<6> row;
	std::cout << row.fill() << '\n';
	using Numbers = std::make_index_sequence<40>;
	std::cout << sum(tuples(Numbers{}), Numbers{}) << '\n';
	std::unordered_map<std::string, int> count;
	for (int i = 0; i < 3000; i++)
		count["word" + std::to_string(i % 700)]++;
	std::vector<std::pair<std::string, int>> sorted(count.begin(), count.end());
	std::sort(sorted.begin(), sorted.end());
	std::cout << sorted.size() << ' ' << sorted.front().first << '\n';
}
