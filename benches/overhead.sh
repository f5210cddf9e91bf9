#!/bin/bash
# What `hogwatch run` costs: the time that it adds to a command, and the memory that it holds while the command runs. Started
# by run.sh, and by the lab's scenario run-cost.
#
# usage: overhead.sh HOGWATCH ROUNDS
#
# `true` under a cap, in turn with plain `true` and, where systemd runs, with `true` in a scope of systemd-run, without limits
# and with the same ones. Bash, for a clock that starts no process. Prints words for people; no figure makes it fail.
set -euo pipefail
shopt -s nullglob

rounds=$2
scratch=$(mktemp -d)
waiting=
cleanup() {
	[[ -z $waiting ]] || { kill "$waiting"; wait "$waiting" || :; }
	rm -rf "$scratch"
}
trap cleanup EXIT
# A copy, so that the processes that run it can be told from all others.
hogwatch=$scratch/hogwatch
cp "$1" "$hogwatch"
true=$(type -P true)
cap=(--memory 64M --swap 0)

manager=()
[[ $(id -u) == 0 ]] || manager=(--user)
plain() { "$true"; }
run() { "$hogwatch" run "${cap[@]}" -- "$true"; }
scope() { systemd-run "${manager[@]}" --quiet --scope -- "$true"; }
limited() { systemd-run "${manager[@]}" --quiet --scope -p MemoryMax=64M -p MemorySwapMax=0 -- "$true"; }

ways=(plain run)
if [[ -d /run/systemd/system ]] && scope 2>"$scratch/said"; then
	ways=(plain scope limited run)
else
	echo "no systemd that makes scopes here: compared with plain true only"
fi
"$hogwatch" run "${cap[@]}" --report "$scratch/report" -- "$true"
kind=$(sed -n 's/.*"kind": *"\([a-z0-9]*\)".*/\1/p' "$scratch/report")

# Once before, so that each has been read from the disk.
for way in "${ways[@]}"; do "$way"; done
for ((round = 0; round < rounds; round++)); do
	for way in "${ways[@]}"; do
		begin=${EPOCHREALTIME/./}
		"$way"
		echo $((${EPOCHREALTIME/./} - begin)) >>"$scratch/$way"
	done
done

median() { sort -n "$scratch/$1" | awk '{ us[NR] = $1 } END { print (us[int((NR + 1) / 2)] + us[int(NR / 2) + 1]) / 2 }'; }
# line NAME WAY: its least, median and most ms, and the median over that of plain true.
line() {
	sort -n "$scratch/$2" | awk -v name="$1" -v plain="$(median plain)" '{ us[NR] = $1 }
		END { middle = (us[int((NR + 1) / 2)] + us[int(NR / 2) + 1]) / 2
			printf "%-26s least %.1f, median %.1f, most %.1f ms; %.1f ms over plain true\n",
				name ":", us[1] / 1000, middle / 1000, us[NR] / 1000, (middle - plain) / 1000 }'
}
echo "$rounds rounds each, in turn; the cap's kind is $kind"
line "true" plain
if [[ ${#ways[@]} != 2 ]]; then
	line "systemd-run --scope true" scope
	line "the same with limits" limited
fi
line "hogwatch run true" run
[[ ${#ways[@]} == 2 ]] ||
	awk -v run="$(median run)" -v scope="$(median scope)" -v limited="$(median limited)" 'BEGIN {
		printf "hogwatch run takes %.2f times as long as systemd-run --scope, %.2f times with the same limits\n", run / scope, run / limited }'

# ---- what waits meanwhile -----------------------------------------------------------------------------------------

mkfifo "$scratch/ready"
"$hogwatch" run "${cap[@]}" -- sh -c 'echo >"$1"; exec sleep 600' - "$scratch/ready" &
waiting=$!
exec 3<>"$scratch/ready"
read -rt 60 -u 3 || { echo "bench: the command did not start within 60 s" >&2; exit 1; }
sleep 1 # whatever it does at the start, it has done
total=0 shared=0 each=
for process in /proc/[0-9]*; do
	[[ $(readlink "$process/exe") == "$hogwatch" ]] || continue
	# Not VmRSS: the kernel counts that per thread and adds it up late.
	read -r rss pss < <(awk '$1 == "Rss:" { rss = $2 } $1 == "Pss:" { print rss, $2 }' "$process/smaps_rollup")
	total=$((total + rss)) shared=$((shared + pss))
	each+="${each:+ and }$rss"
done
echo "resident while the command runs: $each KiB, $total KiB together, $shared KiB with shared pages counted once"
