# SPDX-License-Identifier: MIT
# Editors and terminals under the preload.

load common

vim_session() {
	export HOME=$PWD
	seq 20000 >text
	vim -u NONE -i NONE -n -es text <<-'V'
		%s/\(\d\)\(\d*\)7/<\2,\1>/g
		g/99/move 0
		g/^1.*5$/copy $
		v/\d/delete
		for i in range(3000)
			call append(line('$'), repeat('line ' .. i, i % 9))
		endfor
		let words = {}
		for i in range(20000)
			let words['w' .. i % 777] = range(i % 9)
		endfor
		call append(0, string(len(words)))
		%sort n
		undo
		redo
		normal! ggyG100p
		1000,$delete
		wq
	V
	sha256sum text
	wc -l text
}

@test "vim" {
	need vim
	assert_preloaded vim -u NONE -i NONE -n -es /proc/self/maps -c '%print' -c 'qall!'
	same_output vim_session
}

tmux_session() {
	trap 'tmux -S socket kill-server 2>/dev/null || true' EXIT
	tmux -f /dev/null -S socket new-session -d -x 100 -y 30 'seq 30000; echo "last"; exec cat'
	check_loaded "$(tmux -S socket display-message -p '#{pid}')"
	await 20 sh -c 'tmux -S socket capture-pane -p | grep -q last'
	tmux -S socket capture-pane -p -S -1500 | sha256sum
	tmux -S socket set-option -g history-limit 5000
	local i
	for i in 1 2 3 4; do
		tmux -S socket new-window -d "seq $i 20000; exec cat"
		await 20 sh -c "tmux -S socket capture-pane -p -t :$i | grep -q 20000"
		tmux -S socket capture-pane -p -t ":$i" -S - | sha256sum
	done
	tmux -S socket split-window -d cat
	tmux -S socket resize-window -x 60 -y 20
	tmux -S socket list-windows -F '#{window_index} #{window_width}'
	tmux -S socket kill-server
}

@test "tmux" {
	need tmux
	same_output tmux_session
}

