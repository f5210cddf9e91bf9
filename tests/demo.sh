#!/bin/sh
# Shows the main job for real, and safely: the armed guard and one process that eats memory, both inside a PID namespace
# of their own. Nothing outside it can be signalled, because nothing outside can be named.
#
# usage: tests/demo.sh HOGWATCH       (the binary; `make demo` builds it first)
#
# Works as root, and as a plain user where user namespaces are allowed. Exit status 0 only when the guard ended the hog,
# and nobody else.
set -eu

# How far memory may fall before the guard acts. Small beside what any machine has free that should run a demonstration.
room_mib=1536
# The hog's pace: slow enough to watch, and the whole takes less than 20 s.
rate_mib=256

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
	bold=$(printf '\033[1m') dim=$(printf '\033[2m') red=$(printf '\033[31m') green=$(printf '\033[32m') plain=$(printf '\033[0m')
else
	bold='' dim='' red='' green='' plain=''
fi

say() { printf '%s\n' "$*"; }
fail() {
	printf '%sdemo: %s%s\n' "$red" "$*" "$plain" >&2
	exit 1
}

available_mib() { awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo; }
gib() { awk -v mib="$1" 'BEGIN { printf "%.2f GiB", mib / 1024 }'; }

# ---- outside: build the hog, make the namespace, clean up ---------------------------------------------------------

outside() {
	[ $# -eq 1 ] || fail "usage: tests/demo.sh HOGWATCH"
	[ -x "$1" ] || fail "$1: not an executable file; build it with: cargo build --release"
	here=$(cd "$(dirname "$0")" && pwd)
	guard=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
	for tool in cc unshare mount awk; do
		command -v "$tool" >/dev/null || fail "$tool is needed (Debian packages: gcc util-linux mount mawk)"
	done

	scratch=$(mktemp -d)
	space=''
	# The namespace dies with unshare, whatever is going on inside.
	trap '[ -z "$space" ] || kill -KILL "$space" 2>/dev/null || :; rm -rf "$scratch"' EXIT
	trap 'printf "\nstopped\n"; exit 130' INT
	trap 'exit 143' TERM HUP
	cc -O2 -pthread -o "$scratch/hog" "$here/pidns/hog.c"

	as_root='--user --map-root-user'
	[ "$(id -u)" -ne 0 ] || as_root=''
	# shellcheck disable=SC2086 # two words, or none
	if ! why=$(unshare $as_root --mount --pid --fork --mount-proc --kill-child true 2>&1); then
		fail "no PID namespace can be made here: $why
Without one the guard would see your own processes, so there is no demonstration. Either run it as root
  sudo make demo
or allow plain users to make namespaces (what applies depends on the distribution)
  sudo sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000
  sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"
	fi
	outer=$(readlink /proc/self/ns/pid)
	# In the background, so that Ctrl-C is acted on at once.
	# shellcheck disable=SC2086
	unshare $as_root --mount --pid --fork --mount-proc --kill-child \
		sh "$here/demo.sh" --inside "$outer" "$guard" "$scratch" &
	space=$!
	status=0
	wait "$space" || status=$?
	space=''
	exit "$status"
}

# ---- inside: pid 1 of the namespace -------------------------------------------------------------------------------

picture() { # MemAvailable as a line: a bar from 0 to where it began, and the limit
	now=$(available_mib)
	awk -v now="$now" -v top="$start" -v limit="$term" -v bold="$bold" -v dim="$dim" -v plain="$plain" 'BEGIN {
		# The bar shows only the part that the demonstration plays in, or nothing would be seen to move.
		low = limit - (top - limit) / 4; width = 40
		full = int((now - low) / (top - low) * width); mark = int((limit - low) / (top - low) * width)
		for (i = 0; i < width; i++) bar = bar (i == mark ? "|" : i < full ? "#" : ".")
		printf "  available %s%6.2f GiB%s [%s] %s| limit %.2f GiB%s", bold, now / 1024, plain, bar, dim, limit / 1024, plain
	}'
}

show_news() { # what the guard has written since last time
	if tail -n "+$((shown + 1))" "$scratch/guard.log" >"$scratch/news" && [ -s "$scratch/news" ]; then
		[ ! -t 1 ] || printf '\r\033[K'
		while IFS= read -r line; do
			shown=$((shown + 1))
			printf '%shogwatch:%s %s\n' "$bold" "$plain" "$line"
		done <"$scratch/news"
	fi
}

watch_for() { # seconds, condition...: shows memory and the guard's words until the condition holds
	ticks=$(($1 * 5))
	shift
	tick=0
	while [ "$tick" -lt "$ticks" ]; do
		show_news
		if "$@"; then
			[ ! -t 1 ] || printf '\r\033[K'
			return 0
		fi
		if [ -t 1 ]; then
			printf '\r\033[K%s' "$(picture)"
		elif [ $((tick % 5)) -eq 0 ]; then
			picture
			echo
		fi
		tick=$((tick + 1))
		sleep 0.2
	done
	[ ! -t 1 ] || printf '\r\033[K'
	return 1
}

said() { grep -q "$1" "$scratch/guard.log"; }
ready() { [ "$(wc -l <"$scratch/hog.out")" -ge 1 ] && [ "$(wc -l <"$scratch/bystander.out")" -ge 1 ]; }
hog_gone() { ! lives "$hog"; }
guard_gone() { ! lives "$daemon"; }
lives() { grep -q '^State:.[^ZX]' "/proc/$1/status" 2>/dev/null; }

inside() {
	outer=$1 guard=$2 scratch=$3
	# The rail: never start the guard where it could see anybody else's processes.
	[ $$ -eq 1 ] && [ "$(readlink /proc/self/ns/pid)" != "$outer" ] && [ "$(readlink /proc/1/ns/pid)" != "$outer" ] ||
		fail "not in a PID namespace of its own: refusing to arm the guard"
	mount -t tmpfs none /run # no journald: the guard writes its entries as lines; no other guard's lock either
	mkdir -p /run/guard /run/state

	# Never more than a quarter of what is available, and the kill limit halfway beyond.
	now=$(available_mib)
	[ $((now / 4)) -ge "$room_mib" ] || room_mib=$((now / 4))
	[ "$room_mib" -ge 256 ] || fail "only $now MiB of memory are available; this needs 1 GiB"
	mkfifo "$scratch/hog.in" "$scratch/bystander.in"
	"$scratch/hog" name=hog first=160 rate="$rate_mib" upto=$((now / 2)) <"$scratch/hog.in" >"$scratch/hog.out" &
	hog=$!
	"$scratch/hog" name=bystander first=150 <"$scratch/bystander.in" >"$scratch/bystander.out" &
	bystander=$!
	exec 8>"$scratch/hog.in" 9>"$scratch/bystander.in"
	: >"$scratch/guard.log"
	shown=0 start=$now term=$((now - room_mib))
	watch_for 5 ready || fail "the hog did not start"

	start=$(available_mib)
	term=$((start - room_mib))
	cat >"$scratch/demo.toml" <<-END
		[memory]
		scope = "host"
		warn = "$((term + room_mib / 4)) MiB"
		term = "$term MiB"
		kill = "$((term - room_mib / 2)) MiB"
		[victim]
		min_size = "64 MiB"
		[livelock]
		enabled = false
	END
	say "A PID namespace of its own: ${bold}hog${plain} (pid $hog) will eat memory, ${bold}bystander${plain} (pid $bystander) will not."
	say "$(gib "$start") of this machine's memory are available; the guard is told to act at $(gib "$term")."
	say
	RUNTIME_DIRECTORY=/run/guard STATE_DIRECTORY=/run/state \
		"$guard" daemon --config "$scratch/demo.toml" 8>&- 9>&- >"$scratch/guard.log" 2>&1 &
	daemon=$!
	watch_for 5 said started || fail "the guard did not start: $(cat "$scratch/guard.log")"
	# The hog goes beyond both limits, but no further, whatever the guard does.
	echo $((term - room_mib)) >&8

	watch_for 25 hog_gone || fail "the hog is still alive: the guard did not do its job"
	status=0
	wait "$hog" || status=$?
	watch_for 3 said "hog (pid $hog.*exited\|exited.*hog (pid $hog" || :
	show_news

	# Only what was really seen counts: the exit status of the hog, the guard's own account, and who is left.
	[ "$status" -eq 143 ] || [ "$status" -eq 137 ] || fail "the hog ended by itself (status $status), not by a signal"
	said "sent SIG[A-Z]* to hog (pid $hog" || fail "the hog was ended, but the guard says nothing of it"
	sent=$(grep -c 'sent SIG' "$scratch/guard.log")
	others=$(grep 'sent SIG' "$scratch/guard.log" | grep -cv "to hog (pid $hog" || :)
	[ "$others" -eq 0 ] || fail "the guard signalled somebody else as well"
	lives "$bystander" || fail "the bystander is dead"
	lives "$daemon" || fail "the guard is dead"
	kill "$daemon"
	watch_for 5 guard_gone || fail "the guard does not stop"
	wait "$daemon" || fail "the guard stopped with status $?"
	show_news
	signal=SIGTERM
	[ "$status" -eq 143 ] || signal=SIGKILL
	say
	say "${green}The hog was ended by $signal ($sent sent), the bystander lives, and $(gib "$(available_mib)") are available again.${plain}"
}

if [ "${1:-}" = --inside ]; then
	shift
	inside "$@"
else
	outside "$@"
fi
