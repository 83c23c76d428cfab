# SPDX-License-Identifier: MIT
# Everyday tools under the preload.

load common

git_session() {
	local i
	export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null HOME=$PWD
	export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=c GIT_COMMITTER_EMAIL=c@d
	export GIT_AUTHOR_DATE='1700000000 +0000' GIT_COMMITTER_DATE='1700000000 +0000'
	git -c init.defaultBranch=main init -q work
	cd work || return
	for i in {1..150}; do
		printf 'commit refs/heads/main\nmark :%d\ncommitter c <c@d> 17%08d +0000\ndata 9\nnumber %02d\n' \
			"$i" "$i" $((i % 100))
		printf 'M 100644 inline folder%d/file%d\ndata <<END\n' $((i % 7)) $((i % 40))
		seq "$i" $((i * 20))
		printf 'END\n\n'
	done | git fast-import --quiet
	git checkout -q main
	for i in {1..20}; do
		seq "$i" 4000 >"file$i"
		git add -A
		git commit -q -m "change $i"
	done
	git checkout -q -b side HEAD~10
	echo side >side
	git add side
	git commit -q -m side
	git merge -q -m merge main
	git gc -q --aggressive --prune=now
	git fsck --full --strict
	git log --stat -p | sha256sum
	git blame file3 | sha256sum
	git grep -c 77 | tail -n 3
	git clone -q --no-local . ../clone
	git -C ../clone count-objects -v | grep -vE 'size'
	git rev-parse HEAD
	git pack-refs --all
	git archive HEAD | sha256sum
}

@test "git: import, commit, merge, gc, fsck, log, clone" {
	need git
	# shellcheck disable=SC2016 # git's shell has git as its parent
	assert_preloaded git -c alias.maps='!cat /proc/$PPID/maps' maps
	same_output git_session
}

gdb_session() {
	printf '%s\n' '#include <stdlib.h>' 'struct s { int n; struct s *next; } *list;' \
		'void add(int n) { struct s *s = malloc(sizeof *s); s->n = n; s->next = list; list = s; }' \
		'int main(void) { for (int i = 0; i < 9; i++) add(i); abort(); }' >small.c
	gcc -g -o small small.c
	gdb -q -nx -batch -ex 'set debuginfod enabled off' -ex 'set startup-with-shell off' \
		-ex 'break add if n == 5' -ex run -ex 'backtrace' \
		-ex 'python print("x" * 10, sum(len(str(i)) for i in range(100000)))' \
		-ex 'print *list->next' -ex continue -ex 'info line main' -ex 'ptype struct s' \
		./small 2>&1 | grep -vE 'Inferior|rocess|warning|thread|^$|0x|abort|pthread|raise' >answers
	cat answers
	gdb -q -nx -batch -ex 'info functions add' -ex 'info scope add' -ex 'list main' ./small
}

@test "gdb" {
	need gdb gcc
	same_output gdb_session
}

# text: some megabytes that compress neither very well nor very badly.
text() {
	awk 'BEGIN { srand(7); for (i = 0; i < 250000; i++) print i % 1000, int(rand() * 100000), "some text" }'
}
export -f text

xz_session() {
	text >text
	xz -T2 -3 --block-size=1MiB -k text
	sha256sum text.xz
	xz -T2 -dc text.xz | cmp - text
}

@test "xz -T2" {
	need xz
	same_output xz_session
}

zstd_session() {
	text >text
	zstd -q -T2 -9 text
	zstd -q --long=27 -T2 -3 text -o long.zst
	sha256sum ./*.zst
	zstd -qdc text.zst | cmp - text
	zstd -qdc long.zst | cmp - text
}

@test "zstd -T2" {
	need zstd
	same_output zstd_session
}

sort_session() {
	text >text
	sort --parallel=2 -S 8M -k2,2n -k1,1 text | sha256sum
	sort --parallel=4 -u -k3 -k2r text | sha256sum
	cut -d' ' -f2 text | sort --parallel=2 | uniq -c | join -1 2 -2 1 - <(seq -w 0 99999 | sort) | tail -n 2
	shuf --random-source=text text | tac | paste - - | sha256sum
}

@test "sort --parallel and other coreutils" {
	assert_preloaded sort /proc/self/maps
	same_output sort_session
}

awk_session() {
	text | "$1" '{
		count[$1]++; sum[$1] += $2; line[NR % 5000] = $0 "-" NR
		gsub(/[0-9]/, "&.", $2); length_of += length($2)
		n = split($0, parts, " "); word[$2 % 500] = word[$2 % 500] $1
	} END {
		for (key in count) printf "%s %d %d\n", key, count[key], sum[key] | "sort -n | tail -n 3"
		close("sort -n | tail -n 3")
		print length_of, length(word[7]), line[77]
	}'
}

@test "awk" {
	local awk
	for awk in mawk gawk; do
		command -v "$awk" >/dev/null || continue
		assert_preloaded "$awk" '{ print }' /proc/self/maps
		same_output awk_session "$awk"
	done
}

tar_session() {
	local i
	mkdir tree
	for i in {1..300}; do seq "$i" >"tree/$i"; done
	tar --sort=name --mtime=@0 --owner=0 --group=0 -czf tree.tar.gz tree
	gzip -dc tree.tar.gz | sha256sum
	text | gzip -6 | gzip -dc | sha256sum
	mkdir back
	tar -xzf tree.tar.gz -C back
	diff -r tree back/tree
	find back -type f -size +1k -printf '%f %s\n' | sort | sha256sum
	grep -rlE '^(2|3)9+$' tree | sort | tail -n 3
	sed -E ':a; N; $!ba; s/\n([0-9])/,\1/g' tree/300 | sha256sum
}

@test "tar, gzip, find, grep, sed, diff" {
	same_output tar_session
}

jq_session() {
	seq 20000 | jq -c '{n: ., text: ("x" * (. % 30 + 1)), list: [range(. % 9)]}' >rows
	jq -s 'group_by(.n % 7) | map({n: length, sum: (map(.n) | add), text: (map(.text // "" | length) | add)})' rows
	jq -r 'select(.text | test("^x{29,}$")) | @base64' rows | sha256sum
	jq -s 'map(.list) | flatten | unique | tostring' rows
}

@test "jq" {
	need jq
	same_output jq_session
}

openssl_session() {
	text >text
	openssl dgst -sha3-256 <text
	openssl enc -aes-256-cbc -pbkdf2 -iter 2000 -S 0011223344556677 -k secret -in text | openssl sha256
	openssl genrsa -out key.pem 2048 2>log
	openssl rsa -in key.pem -check -noout 2>&1
	openssl req -x509 -new -key key.pem -subj /CN=name -days 2 -out cert.pem
	openssl verify -CAfile cert.pem cert.pem
	openssl cms -encrypt -binary -in text -outform DER -out text.cms cert.pem
	openssl cms -decrypt -inform DER -in text.cms -inkey key.pem | cmp - text
	openssl ecparam -genkey -name prime256v1 -out ec.pem
	openssl dgst -sign ec.pem -out signature text
	openssl dgst -prverify ec.pem -signature signature text
}

@test "openssl" {
	need openssl
	same_output openssl_session
}

ssh_keygen_session() {
	local kind
	for kind in rsa ecdsa ed25519; do
		ssh-keygen -q -t $kind -N 'pass phrase' -a 4 -C name -f $kind
		ssh-keygen -y -P 'pass phrase' -f $kind | cmp - $kind.pub
		ssh-keygen -l -f $kind.pub | cut -d' ' -f1,3-
	done
	ssh-keygen -q -N '' -t ed25519 -f plain
	echo text | ssh-keygen -q -Y sign -f plain -n file >text.sig
	ssh-keygen -Y check-novalidate -n file -s text.sig <<<text | cut -d' ' -f1-3
}

@test "ssh-keygen" {
	need ssh-keygen
	same_output ssh_keygen_session
}

curl_session() {
	text >text
	curl -fs "file://$PWD/text" | sha256sum
	curl -fsZ "file://$PWD/text?[1-9]" -o 'copy#1'
	sha256sum copy*
}

@test "curl file://" {
	need curl
	assert_preloaded curl -fs file:///proc/self/maps
	same_output curl_session
}

ghostscript_session() {
	cat >page.ps <<-'P'
		/Times-Roman findfont 11 scalefont setfont
		1 1 4 {
			/page exch def
			0 1 60 { dup 12 mul 40 add 40 exch moveto (Line ) show 20 string cvs show ( of some text) show } for
			0 5 300 { /i exch def i 360 div 1 0.8 sethsbcolor
				newpath 300 400 i 0 i arc gsave fill grestore stroke } for
			0 1 3000 { [ exch dup 2 mul ] pop } for
			showpage
		} for
	P
	gs -q -dBATCH -dNOPAUSE -sDEVICE=ppmraw -r100 -dTextAlphaBits=4 -sOutputFile=page%d.ppm page.ps
	sha256sum ./*.ppm
	gs -q -dBATCH -dNOPAUSE -sDEVICE=pdfwrite -sOutputFile=page.pdf page.ps
	gs -q -dBATCH -dNOPAUSE -sDEVICE=pnggray -r50 -sOutputFile=back.png page.pdf
	gs -q -dBATCH -dNOPAUSE -sDEVICE=txtwrite -sOutputFile=- page.pdf
	sha256sum back.png
}

@test "ghostscript" {
	need gs
	same_output ghostscript_session
}

# man and file restrict their own system calls with seccomp.
man_session() {
	local i
	{
		echo '.TH NAME 1 "1 January 2024"'
		for i in {1..300}; do
			printf '.SH PART %d\n.B bold%d\ntext and \\fIslanted\\fP text\n.TP\n.B -o%d\nwhat it does\n' "$i" "$i" "$i"
		done
	} >name.1
	MANWIDTH=80 man --no-hyphenation -l name.1 | sha256sum
	groff -Tps -man -P-pa4 name.1 | grep -v '^%%CreationDate' | sha256sum
	groff -Tutf8 -t -e -man name.1 | tail -n 3
}

@test "man and groff" {
	need man groff
	same_output man_session
}

file_session() {
	text >text
	gzip -nk text
	tar cf text.tar text
	file text text.gz text.tar /bin/true /etc/passwd "$PROGRAMS"/* | sed 's/.*programs//'
	file -z text.gz | cut -c-60
	file -i text
}

@test "file" {
	need file
	same_output file_session
}

@test "stress-ng: malloc, brk, threads and maps, verified" {
	need stress-ng
	succeeds stress-ng --temp-path . --verify --timeout 1 --malloc 2 --malloc-ops 20000 \
		--brk 1 --brk-ops 20000 --pthread 1 --pthread-ops 3000 --mmap 1 --mmap-ops 50 --mmap-bytes 16m
	succeeds stress-ng --temp-path . --verify --timeout 1 --malloc 1 --malloc-thresh 4k --malloc-pthreads 4 \
		--fork 1 --fork-ops 500 --vforkmany 1 --vforkmany-ops 500 --mremap 1 --mremap-ops 50 --mremap-bytes 4m
}
