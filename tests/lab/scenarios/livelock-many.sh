# Two hundred cgroups stuck at once: all resolved within 60 s, each with an incident of its own, and nobody else touched.
# suites: trixie
# hogwatch starts when all are stuck already: it takes longer to make so many than to free them.
readonly MANY=200
cells many "$MANY" high=3M max=8M swap.max=0
many=$CGROUPS/lab-many
for (( i = 0; i < MANY; i++ )); do in_cell "$many/$i" load ticker /dev/null; done
# Each begins as a copy of this shell and has its own name only later.
wait_for 30 eval '(( $(ps -C load --no-headers | wc -l) >= MANY ))' || fail "$(ps -C load --no-headers | wc -l) of $MANY tickers run"
bystanders
declare -A hog
for (( i = 0; i < MANY; i++ )); do
  in_cell "$many/$i" hog --size 4; hog[$i]=$!
done
onset "$many"/*/
foretell "${hog[77]}" --cgroup /lab-many/77
# (At such a small limit the kernel's batches of 64 pages are 8 % of it: use wobbles about the limit.)
declare -A before
for i in 0 77 199; do before[$i]=$(event "$many/$i" high); done
pause 3
for i in 0 77 199; do
  hits=$(( $(event "$many/$i" high) - before[$i] ))
  (( hits >= 17 )) || fail "$i: nobody was put to sleep in 3 s (high +$hits)"
done
start_guard
onset=$(now_ms)
left() { local i n=0; for i in "${!hog[@]}"; do if alive "${hog[$i]}"; then n=$((n + 1)); fi; done; echo "$n"; }
until (( $(left) == 0 )); do
  (( $(now_ms) - onset < 60000 )) || fail "hogwatch did not act within 60 s: $(left) of $MANY hogs live"
  pause 0.5
done
note "all $MANY hogs were gone $(( $(now_ms) - onset )) ms after hogwatch started"
# On a busy host one may take more than the 3 s after which it is set aside.
ends() { journal HOGWATCH_EVENT=exited + HOGWATCH_EVENT=set_aside; }
told() { (( $(ends | jq -r .HOGWATCH_PID | sort -u | wc -l) == MANY )); }
wait_for 20 told || fail "$(ends | jq -r .HOGWATCH_PID | sort -u | wc -l) ends told of $MANY hogs"
note "$(count set_aside) of them did not die within 3 s of SIGKILL"
same "incidents" "$MANY" "$(ends | jq -r .HOGWATCH_INCIDENT | sort -u | wc -l)"
same "cgroups found stuck" "$MANY" "$(entries livelock | jq -r .HOGWATCH_CGROUP | sort -u | wc -l)"
expect_signalled "${hog[@]}"
expect_no_kernel_oom
expect_bystanders
