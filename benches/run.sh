#!/bin/sh
# Measures what the guard costs and how fast it is, beside earlyoom where that is installed. It measures and never judges:
# no figure makes it fail.
#
# usage: benches/run.sh HOGWATCH [latency|crowd|idle|recorder|overhead]...     (all of them when none is named)
#
#   latency   from "MemAvailable at the limit" to "SIGTERM in the victim", with a hog filling 1 GB/s
#   crowd     the same among 2,000 idle processes: what a look at the process table costs
#   idle      CPU time a second, and memory, of a guard with nothing to do
#   recorder  CPU time a second among 2,000 idle processes: with plenty of memory, below twice `warn`, and while memory falls
#   overhead  what `hogwatch run` adds to the time of `true`, and the memory of it while a command runs
#
# EARLYOOM=PATH measures another earlyoom than the one installed; ROUNDS=15 and IDLE_SECONDS=60 are what the published
# figures were taken with. Every guard runs in a PID namespace of its own, as in `make demo`. The machine should be quiet.
set -eu

rounds=${ROUNDS:-15}
idle_seconds=${IDLE_SECONDS:-60}
# How far below the present MemAvailable the limit is put.
room_mib=1024
# 1 GB/s.
rate_mib=954
crowd=2000

fail() {
	printf 'bench: %s\n' "$*" >&2
	exit 1
}

field() { awk -v name="$1:" '$1 == name { print $2 }' "$2"; }
available_kib() { field MemAvailable /proc/meminfo; }

# ---- outside ------------------------------------------------------------------------------------------------------

outside() {
	[ $# -ge 1 ] && [ -x "$1" ] || fail "usage: benches/run.sh HOGWATCH [latency|crowd|idle|recorder|overhead]..."
	here=$(cd "$(dirname "$0")" && pwd)
	hogwatch=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
	shift
	[ $# -gt 0 ] || set -- latency crowd idle recorder overhead
	earlyoom=${EARLYOOM:-$(command -v earlyoom || :)}
	scratch=$(mktemp -d)
	space=''
	trap '[ -z "$space" ] || kill -KILL "$space" 2>/dev/null || :; rm -rf "$scratch"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	cc -O2 -pthread -o "$scratch/hog" "$here/../tests/pidns/hog.c"
	cc -O2 -o "$scratch/sampler" "$here/sampler.c"
	outer=$(readlink /proc/self/ns/pid)
	as_root='--user --map-root-user'
	[ "$(id -u)" -ne 0 ] || as_root=''

	guards=hogwatch
	printf 'hogwatch: %s\n' "$("$hogwatch" --version)"
	if [ -n "$earlyoom" ]; then
		guards="hogwatch earlyoom"
		printf 'earlyoom: %s (%s)\n' "$("$earlyoom" -v 2>&1 | head -n 1)" "$earlyoom"
	else
		printf 'earlyoom: not installed (Debian: apt-get install earlyoom), left out\n'
	fi
	printf 'machine:  Linux %s, %s CPUs, %s MiB available of %s MiB, load %s\n' "$(uname -r)" "$(nproc)" \
		$(($(available_kib) / 1024)) $(($(field MemTotal /proc/meminfo) / 1024)) "$(cut -d' ' -f1 /proc/loadavg)"
	for what in "$@"; do
		case $what in
		latency | crowd)
			printf '\n%s: limit reached -> SIGTERM in the victim, %s rounds each, in turn\n' "$what" "$rounds"
			round=1
			while [ "$round" -le "$rounds" ]; do
				for guard in $guards; do
					inside "$what" "$guard" >>"$scratch/$what.$guard" || fail "$guard, round $round: see above"
				done
				round=$((round + 1))
			done
			printf '  %-10s %9s %9s %9s\n' guard 'least ms' 'median ms' 'most ms'
			for guard in $guards; do
				sort -n "$scratch/$what.$guard" | awk -v guard="$guard" '{ us[NR] = $1 }
					END { middle = (us[int((NR + 1) / 2)] + us[int(NR / 2) + 1]) / 2
						printf "  %-10s %9.1f %9.1f %9.1f\n", guard, us[1] / 1000, middle / 1000, us[NR] / 1000 }'
			done
			;;
		idle)
			printf '\nidle: %s s each, one after the other\n' "$idle_seconds"
			printf '  %-10s %9s %12s %13s %5s\n' guard 'CPU us/s' 'resident KiB' 'anonymous KiB' fds
			for guard in $guards; do
				inside idle "$guard" || fail "$guard: see above"
			done
			;;
		recorder)
			printf '\nrecorder: %s s each among %s processes, one after the other\n' "$idle_seconds" "$crowd"
			printf '  %-10s %9s %14s %13s\n' memory 'CPU us/s' '% of one core' 'anonymous KiB'
			for course in calm near falling; do
				inside recorder "$course" || fail "$course: see above"
			done
			;;
		overhead)
			printf '\noverhead: '
			"$here/overhead.sh" "$hogwatch" "$rounds" || fail "overhead: see above"
			;;
		*) fail "$what: not a measurement; there are latency, crowd, idle, recorder and overhead" ;;
		esac
	done
}

inside() {
	# In the background, so that Ctrl-C is acted on at once; whatever happens, the namespace dies with `timeout`.
	# shellcheck disable=SC2086 # two words, or none
	timeout --foreground --signal=KILL $((idle_seconds + 60)) setpriv --pdeathsig KILL \
		unshare $as_root --mount --pid --fork --mount-proc --kill-child \
		sh "$here/run.sh" --inside "$outer" "$scratch" "$hogwatch" "$earlyoom" "$@" &
	space=$!
	outcome=0
	wait "$space" || outcome=$?
	space=''
	return "$outcome"
}

# ---- inside: pid 1 of the namespace -------------------------------------------------------------------------------

limit_kib=0 # MemAvailable at which the guard acts
watched=''  # what the sampler is to wait for, the same in the guard's own terms

start_hogwatch() {
	RUNTIME_DIRECTORY=/run/guard STATE_DIRECTORY=/run/state \
		"$hogwatch" daemon --config "$@" 7>&- 8>&- >"$scratch/guard.log" 2>&1 &
	guard=$!
	wait_for grep -q started "$scratch/guard.log"
}

hogwatch_at() {
	cat >/run/hogwatch.toml <<-END
		[memory]
		scope = "host"
		warn = "$((limit_kib / 1024 + 128)) MiB"
		term = "$((limit_kib / 1024)) MiB"
		kill = "$((limit_kib / 1024 - room_mib)) MiB"
	END
	watched=$((limit_kib / 1024 * 1024))
	start_hogwatch /run/hogwatch.toml
}

start_earlyoom() { # swap is left out of it (-s 100), as hogwatch leaves it out
	"$earlyoom" "$@" -s 100,100 -r 0 8>&- >"$scratch/guard.log" 2>&1 &
	guard=$!
	wait_for grep -q 'SIGKILL when' "$scratch/guard.log"
}

# earlyoom's limits are percents: of MemTotal until 1.7, of MemAvailable + AnonPages since 1.8.
earlyoom_at() {
	total=$(field MemTotal /proc/meminfo)
	case $("$earlyoom" -v 2>&1) in
	*' v1.'[0-7] | *' 1.'[0-7] | *' 1.'[0-7].* | *' v1.'[0-7].*)
		watched=$limit_kib
		set -- -M "$limit_kib,$((limit_kib - room_mib * 1024))"
		;;
	*)
		total=$(awk '$1 == "MemAvailable:" || $1 == "AnonPages:" { sum += $2 } END { print sum }' /proc/meminfo)
		watched="$(awk -v kib="$limit_kib" -v total="$total" 'BEGIN { printf "%.0f", kib / total * 1e6 }') user"
		kill_kib=$((limit_kib - room_mib * 1024))
		set -- -m "$(awk -v term="$limit_kib" -v kill="$kill_kib" -v total="$total" \
			'BEGIN { printf "%.6f,%.6f", 100 * term / total, 100 * kill / total }')"
		;;
	esac
	start_earlyoom "$@"
}

wait_for() { # a command, until it succeeds
	tries=0
	until "$@" 2>/dev/null; do
		[ "$tries" -lt 1500 ] || fail "waited 30 s for: $* $(cat "$scratch/guard.log" 2>/dev/null || :)"
		tries=$((tries + 1))
		sleep 0.02
	done
}

latency() { # prints one latency in microseconds
	mkfifo /run/hog.in
	"$scratch/hog" name=hog first=256 rate="$rate_mib" upto=$((room_mib * 8)) term=note:/run/note </run/hog.in >/run/hog.out &
	hog=$!
	exec 8>/run/hog.in
	wait_for grep -q ready /run/hog.out
	limit_kib=$(($(available_kib) - room_mib * 1024))
	"$1_at"
	sleep 1 # whatever a guard does at its start, it has done
	# shellcheck disable=SC2086 # one word or two
	"$scratch/sampler" /run/crossed $watched &
	sampler=$!
	echo $((limit_kib / 1024 - room_mib * 2)) >&8 # well beyond, but no further, whatever the guard does
	wait "$hog" || fail "the hog was killed instead of being told to end: $(cat "$scratch/guard.log")"
	kill -0 "$guard" 2>/dev/null || fail "the guard is gone: $(cat "$scratch/guard.log")"
	wait "$sampler" || fail "the sampler gave up"
	signalled=$(od -An -t d8 -N 8 /run/note | tr -d ' ')
	[ "$signalled" -gt 0 ] || fail "the hog ended without a SIGTERM"
	read -r above crossed </run/crossed
	[ "$above" -gt 0 ] || fail "memory was at the limit before the measurement began; is the machine quiet?"
	echo $(((signalled - crossed) / 1000))
}

cpu_ns() { # of all threads, so far
	cat /proc/"$1"/task/*/schedstat | awk '{ sum += $1 } END { printf "%.0f\n", sum }'
}

crowd() {
	mkfifo /run/crowd.in
	"$scratch/hog" name=crowd children="$crowd" each=4 upto=0 </run/crowd.in >/run/crowd.out &
	exec 7>/run/crowd.in
	wait_for grep -q ready /run/crowd.out
}

watch_cpu() { # for so many seconds: sets cpu_us, microseconds of CPU time a second
	sleep 2 # past its start
	before=$(cpu_ns "$guard")
	began=$(date +%s%N)
	sleep "$1"
	after=$(cpu_ns "$guard")
	ended=$(date +%s%N)
	cpu_us=$(awk -v ns=$((after - before)) -v span=$((ended - began)) 'BEGIN { printf "%.1f", ns / span * 1e6 }')
}

recorder() { # a dry run: the guard only looks
	crowd
	room_mib=$(($(available_kib) / 1024))
	seconds=$idle_seconds
	case $1 in
	calm) warn=4 term=3 kill=2 ;;
	near) warn=$((room_mib * 2 / 3)) term=$((room_mib / 4)) kill=$((room_mib / 8)) ;;
	falling) # the limit is 45 s away, so it is not reached meanwhile
		falling_mib=64
		[ "$seconds" -lt 30 ] || seconds=30
		term=$((room_mib - falling_mib * 45)) warn=$((term + falling_mib)) kill=$((term / 2))
		"$scratch/hog" name=hog first=4 rate="$falling_mib" upto=$((falling_mib * 45)) <<-END >/run/hog.out 7>&- &
			1
		END
		;;
	esac
	printf '[memory]\nscope = "host"\nwarn = "%s MiB"\nterm = "%s MiB"\nkill = "%s MiB"\n' "$warn" "$term" "$kill" \
		>/run/hogwatch.toml
	start_hogwatch /run/hogwatch.toml --dry-run
	watch_cpu "$seconds"
	! grep -q 'would send' "$scratch/guard.log" || fail "the limit was reached meanwhile; is the machine quiet?"
	awk -v name="$1" -v us="$cpu_us" -v anon="$(field RssAnon "/proc/$guard/status")" \
		'BEGIN { printf "  %-10s %9.1f %14.3f %13d\n", name, us, us / 1e4, anon }'
}

idle() {
	case $1 in
	hogwatch)
		: >/run/hogwatch.toml # the defaults
		start_hogwatch /run/hogwatch.toml
		;;
	earlyoom) start_earlyoom -m 5,3 ;;
	esac
	watch_cpu "$idle_seconds"
	status=/proc/$guard/status
	fds=0
	for _ in "/proc/$guard/fd/"*; do fds=$((fds + 1)); done
	awk -v name="$1" -v us="$cpu_us" -v rss="$(field VmRSS "$status")" -v anon="$(field RssAnon "$status")" \
		-v fds="$fds" 'BEGIN { printf "  %-10s %9.1f %12d %13d %5d\n", name, us, rss, anon, fds }'
}

measure() {
	outer=$1 scratch=$2 hogwatch=$3 earlyoom=$4 what=$5 name=$6
	# The rail: never start a guard where it could see anybody else's processes.
	[ $$ -eq 1 ] && [ "$(readlink /proc/self/ns/pid)" != "$outer" ] && [ "$(readlink /proc/1/ns/pid)" != "$outer" ] ||
		fail "not in a PID namespace of its own: refusing to start $name"
	mount -t tmpfs none /run
	mkdir -p /run/guard /run/state
	case $what in
	latency) latency "$name" ;;
	crowd)
		crowd
		latency "$name"
		;;
	idle) idle "$name" ;;
	recorder) recorder "$name" ;;
	esac
}

if [ "${1:-}" = --inside ]; then
	shift
	measure "$@"
else
	outside "$@"
fi
