# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034
# git gc of a history with many versions of some files.
needs=(git)
prepare() {
	rm -rf repository
	git init -q --bare repository
	awk -v commits="$(scaled 1500 400 20)" 'BEGIN {
		for (c = 1; c <= commits; c++) {
			text = ""
			for (l = 1; l <= 120; l++)
				text = text "line " l " of file " c % 9 ", changed in " (l * 7919 % 97 == c % 97 ? c : l % 13) "\n"
			message = "commit " c "\n"
			print "commit refs/heads/main\ncommitter A <a@b> " 1700000000 + c " +0000"
			print "data " length(message) "\n" message
			print "M 100644 inline folder" c % 40 "/file" c % 9 "\ndata " length(text) "\n" text
		}
	}' | git -C repository fast-import --quiet
	git -C repository unpack-objects -q </dev/null 2>/dev/null || :
}
run() {
	rm -rf copy
	cp -r repository copy
	measured git -C copy -c pack.threads=2 -c gc.pruneExpire=now gc -q --aggressive
	rm -rf copy
}
