# SPDX-License-Identifier: MIT
# Network servers under the preload, over loopback.

load common


# free_port: a TCP port of the loopback interface that nobody listens on.
free_port() {
	"$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
export -f free_port

nginx_session() {
	local url=http://localhost i workers
	mkdir files
	for i in {1..40}; do
		printf "%0$((i * 997))d\n" "$i" >"files/$i.txt"
	done
	seq 400000 >files/big.txt
	{
		[ "$(id -u)" != 0 ] || echo 'user root;'
		cat <<-N
			worker_processes 3;
			daemon off;
			pid nginx.pid;
			error_log error.log;
			events { worker_connections 128; }
			http {
				access_log access.log;
				client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3;
				uwsgi_temp_path t4; scgi_temp_path t5;
				gzip on; gzip_types text/plain;
				types { text/plain txt; }
				server {
					listen unix:$PWD/socket;
					root files;
					location /proxy/ { proxy_pass http://unix:$PWD/socket:/; }
					location / { autoindex on; }
				}
			}
		N
	} >nginx.conf
	nginx -p "$PWD" -c nginx.conf -e error.log &
	trap 'kill %% 2>/dev/null || true' EXIT
	await 20 curl -fs --unix-socket socket "$url/1.txt"
	workers=$(<"/proc/$!/task/$!/children")
	for i in $! $workers; do check_loaded "$i"; done
	curl -fs --unix-socket socket "$url/[1-40].txt" "$url/proxy/[1-40].txt" | sha256sum
	curl -fs --compressed --unix-socket socket "$url/big.txt" "$url/proxy/big.txt" | sha256sum
	curl -fs --unix-socket socket "$url/" | grep -c 'txt</a>'
	curl -fsZ --unix-socket socket "$url/proxy/[1-40].txt?[1-8]" -o 'got_#1_#2'
	cat got_* | sha256sum
	kill -HUP $!
	await 20 curl -fs --unix-socket socket "$url/2.txt"
	kill -QUIT $!
	wait $!
	echo "stopped: $?"
	! grep -E 'alert|emerg|crit' error.log
}

@test "nginx and curl: several workers, compression, proxy, reload" {
	need nginx curl
	same_output nginx_session
}

# sshd's unprivileged half sits in a seccomp sandbox that kills at system
# calls it does not expect.
sshd_session() {
	local port
	port=$(free_port)
	ssh-keygen -q -t ed25519 -N '' -f host_key
	ssh-keygen -q -t ecdsa -N '' -f key
	cat >sshd_config <<-S
		Port $port
		ListenAddress 127.0.0.1
		HostKey $PWD/host_key
		AuthorizedKeysFile $PWD/key.pub
		PidFile none
		StrictModes no
		UsePAM no
		PermitRootLogin yes
	S
	"$sshd" -t -f sshd_config
	"$sshd" -D -e -f "$PWD/sshd_config" 2>log &
	trap 'kill %% 2>/dev/null || true' EXIT
	client() {
		ssh -F none -p "$port" -i key -o UserKnownHostsFile=known -o StrictHostKeyChecking=no -o BatchMode=yes 127.0.0.1 "$@"
	}
	await 20 client true
	check_loaded $!
	# shellcheck disable=SC2016 # the parent of the far shell is sshd
	client 'cat /proc/$PPID/maps' 2>/dev/null >maps
	check_maps maps
	seq 300000 | client 'sha256sum; exit 7' 2>/dev/null || echo "status $?"
	grep -cE 'fatal|error|killed' log || true
}

@test "sshd and ssh: a session through the seccomp sandbox" {
	need ssh ssh-keygen "$PYTHON"
	sshd=$(PATH=$PATH:/usr/sbin command -v sshd) || skip "no sshd"
	export sshd
	need_root
	[ -d /run/sshd ] || install -d -m 755 /run/sshd
	same_output sshd_session
}

http_session() {
	local port
	port=$(free_port)
	seq 100000 >big.txt
	"$PYTHON" -m http.server --bind 127.0.0.1 "$port" &>log &
	trap 'kill %% 2>/dev/null || true' EXIT
	await 20 curl -fs "http://127.0.0.1:$port/big.txt"
	check_loaded $!
	curl -fsZ "http://127.0.0.1:$port/big.txt?[1-40]" -o 'got_#1'
	cat got_* | sha256sum
}

@test "python3's web server, a thread for each request" {
	need "$PYTHON" curl
	same_output http_session
}
