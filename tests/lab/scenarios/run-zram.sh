# With swap on zram: under a plain MemoryMax= a process that needs more than its limit swaps in circles for as long as it is
# let (the control); under `hogwatch run` it is dead at its cap, and who runs beside it does not notice.
# suites: bookworm trixie
readonly CONTROL=15
modprobe zram
echo 512M > /sys/block/zram0/disksize
mkswap -q /dev/zram0
swapon /dev/zram0
ordinary() { bash -c 'echo 0 > /proc/self/oom_score_adj; exec "$@"' - "$@"; }
worst() { local w _; read -r _ _ w _ < "$LAB/progress/$1"; echo "$w"; }

# A server beside it, in no cgroup of the two: first as it is when nothing else runs.
cell beside
in_cell "$CGROUPS/lab-beside" load ticker "$(page idle)"; idle=$!
soon eval '(( $(rounds idle) >= 50 ))'
kill "$idle"; wait "$idle" || true

ordinary systemd-run --quiet --scope --unit=hog-control -p MemoryMax=60M "$BIN/load" touch 120 & control=$!
dir=$CGROUPS/system.slice/hog-control.scope
soon eval '[[ -f $dir/memory.events ]] && (( $(event "$dir" max) > 0 ))' || fail "the control did not reach its limit"
expect_thrashing 15 "$dir"
stays "$CONTROL" alive "$control" || fail "the control ended by itself"
expect_thrashing 10 "$dir"
note "control, a scope with MemoryMax=60M: still swapping $CONTROL s later, $(stalled "$dir") ms without any progress"
systemctl kill --signal=KILL hog-control.scope
wait "$control" || true

in_cell "$CGROUPS/lab-beside" load ticker "$(page busy)"; busy=$!
soon calm busy || true
placed() { place=$(find "$CGROUPS/system.slice" -path '*.scope/hogwatch-run'); [[ -n $place ]]; }
near() { local used; { used=$(<"$place/memory.current"); } 2>/dev/null && (( used >= 55 << 20 )); }
status=0 since=$(now_ms)
# shellcheck disable=SC2016 # the inner shell's
ordinary hogwatch run --memory 60M --require-cap --report "$LAB/progress/report" -- \
  bash -c 'until [[ -e $0 ]]; do sleep 0.1; done; exec "$@"' "$LAB/progress/go" "$BIN/load" touch 120 2> "$LAB/progress/said" & run=$!
soon placed || fail "no place under a cap: $(<"$LAB/progress/said")"
begin=$(now_ms)
touch "$LAB/progress/go"
until gone "$run" || near; do pause 0.02; done
reached=$(now_ms)
wait "$run" || status=$?
took=$(( $(now_ms) - reached - $(stood "$reached") ))
cat "$LAB/progress/said"
same "status" 137 "$status"
same "the kind of cap" scope "$(jq -r .cap.kind "$LAB/progress/report")"
same "what killed it" cap "$(jq -r .killed_by "$LAB/progress/report")"
(( took <= 2000 )) || fail "it took $took ms to die at its cap"
soon eval '(( $(rounds busy) >= 50 ))'
# A processor that stood still made one tick late, not several.
longest=$(awk -v since="$since" '$1 > since && $2 > most { most = $2 } END { print most + 0 }' "$LAB/pulse")
lag=$(( $(worst busy) - $(worst idle) - longest ))
note "hogwatch run: dead $took ms after it was near its cap, $((reached - begin)) ms after it began;" \
  "a ticker beside it at most $(worst busy) ms late, $(worst idle) ms when idle"
(( lag <= 200 )) || fail "the ticker beside it was $lag ms later than on an idle machine"
kill "$busy"; wait "$busy" || true
same "swapped" 0 "$(jq .cap.swap_bytes "$LAB/progress/report")"
