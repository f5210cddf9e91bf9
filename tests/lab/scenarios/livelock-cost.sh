# What watching costs: two hundred cgroups that stream at their memory.high, and a thousand idle ones with limits. It is
# counted in system calls: the processor is emulated, and its time is only noted, beside that of one read.
# suites: trixie
readonly STREAMS=200 IDLE=1000 SPAN=5
start_guard
# spent: microseconds of CPU that the guard has used.
spent() { sed -n 's/^usage_usec //p' "$CGROUPS/hogwatch.slice/$GUARD/cpu.stat"; }
# cost: microseconds of CPU a second over SPAN.
cost() {
  local from begin
  from=$(spent) begin=$(now_ms)
  pause "$SPAN"
  echo $(( ($(spent) - from) * 1000 / ($(now_ms) - begin) ))
}
# reads: system calls of the guard that read, since it started.
reads() { sed -n 's/^syscr: //p' "/proc/$(guard_pid)/io"; }
# Microseconds of a thousand idle cgroups drown in what the rest costs here: each system call of the guard is looked at.
pause 3
none=$(cost)
# calls: what the guard calls in SPAN.
calls() { timeout "$SPAN" strace -f -y -qq -o "$LAB/strace.json" -p "$(guard_pid)" || true; wc -l < "$LAB/strace.json"; }
before=$(calls)
cells idle "$IDLE" high=100M max=200M
idle=$CGROUPS/lab-idle
pause 3
many=$(cost)
all=$(calls) theirs=$(grep -c lab-idle "$LAB/strace.json" || true)
read_ns=$("$BIN/load" reads "$idle/0/memory.pressure" 20000)
note "a read of memory.pressure takes $read_ns ns here; idle $none us/s with no cgroups, $many us/s with $IDLE idle ones;" \
  "$all system calls in $SPAN s, $theirs for them, $before without any"
expect "the guard to have been looked at" test "$all" -gt 0
# The promise is 10 us a second where a read takes 2 us: five calls.
expect "a thousand idle cgroups to take no more than five calls a second" test "$theirs" -le $(( 5 * SPAN ))
expect "them to wake nobody: a timer of a few ms would be seen" test "$all" -le $(( before * 2 + 5 * SPAN ))
remove_cgroup "$idle"

cells streams "$STREAMS" high=2M max=8M swap.max=0
streams=$CGROUPS/lab-streams
for (( i = 0; i < STREAMS; i++ )); do in_cell "$streams/$i" load stream "$DISK" $((i * 5)) 5 200; done
onset "$streams"/*/
# Until the guard has seen that they are healthy.
pause 12
from=$(event "$streams/7" high) begin=$(now_ms) reads=$(reads)
streaming=$(( $(cost) - none ))
hundredths=$(( ($(reads) - reads) * 100000 / ($(now_ms) - begin) / STREAMS ))
expect "the streams to be at their memory.high still" test "$(event "$streams/7" high)" -gt "$from"
note "$STREAMS streams at their memory.high: $((hundredths / 100)).$((hundredths % 100 / 10)) reads a second for each, and" \
  "$streaming us/s more than without any, as much as $(( streaming * 1000 / read_ns )) reads of memory.pressure;" \
  "one is stalled for $(( $(stalled "$streams/7") / 240 )) % of the time"
expect "at most 12 reads a second for each" test "$hundredths" -le 1200
same "acts" "" "$(acts)"
