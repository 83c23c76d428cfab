# SPDX-License-Identifier: MIT
# Interpreters and virtual machines under the preload.

load common

@test "bash" {
	assert_preloaded bash -c 'echo "$(<"/proc/$$/maps")"'
	same_output bash "$PROGRAMS/words.bash"
}

@test "perl" {
	need perl
	assert_preloaded perl -pe '' /proc/self/maps
	same_output perl "$PROGRAMS/churn.pl"
}

@test "python3: threads" {
	need "$PYTHON"
	assert_preloaded "$PYTHON" -c 'print(open("/proc/self/maps").read())'
	same_output "$PYTHON" "$PROGRAMS/threads.py"
}

@test "python3: multiprocessing, and fork among busy threads" {
	need "$PYTHON"
	same_output "$PYTHON" "$PROGRAMS/fork.py"
}

@test "python3: every object from malloc" {
	need "$PYTHON"
	same_output env PYTHONMALLOC=malloc "$PYTHON" "$PROGRAMS/objects.py"
	same_output env PYTHONMALLOC=malloc "$PYTHON" "$PROGRAMS/threads.py"
}

@test "node: worker threads and buffers" {
	need node
	assert_preloaded node -p 'fs.readFileSync("/proc/self/maps", "latin1")'
	same_output node "$PROGRAMS/workers.js"
}

java_session() {
	javac -J-Xshare:auto -d . "$PROGRAMS/Churn.java"
	sha256sum ./*.class
	java -Xmx64m -cp . Churn
}

@test "java: compile and run, threads, garbage and direct buffers" {
	need javac java
	same_output java_session
}

@test "ruby" {
	need ruby
	assert_preloaded ruby -e 'puts File.read("/proc/self/maps")'
	same_output ruby "$PROGRAMS/churn.rb"
}

@test "php, with its own heap and without" {
	need php
	assert_preloaded php -n -r 'readfile("/proc/self/maps");'
	same_output php -n "$PROGRAMS/churn.php"
	same_output env USE_ZEND_ALLOC=0 php -n "$PROGRAMS/churn.php"
}

# php opens its extensions with RTLD_DEEPBIND, see start.bats.
@test "php with its extensions" {
	need php
	same_output php "$PROGRAMS/churn.php"
}

@test "lua" {
	need lua5.4
	assert_preloaded lua5.4 -e 'print(io.open("/proc/self/maps"):read("a"))'
	same_output lua5.4 "$PROGRAMS/churn.lua"
}
