# SPDX-License-Identifier: MIT
# Arrays, string building, substitutions and subshells.
declare -A square
list=()
for ((i = 0; i < 15000; i++)); do
	square[key$i]=$((i * i))
	list+=("item number $i")
done
for ((i = 0; i < 15000; i += 3)); do
	unset "square[key$i]" "list[$i]"
done
text=
for item in "${list[@]}"; do
	text+=${item//number/"${#text}"}
done
echo "${#square[@]} ${#list[@]} ${#text}"
md5sum <<<"$text"
printf '%s\n' "${square[@]}" | sort -n | tail -n 3
for i in 1 2 3 4; do
	(unset list && grown=$text$text && echo "${#grown} in subshell $i")
done
mapfile -t lines < <(printf '%s\n' "${list[@]}")
echo "${#lines[@]} ${lines[77]}"
