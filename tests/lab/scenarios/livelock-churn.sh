# Ten thousand cgroups made and removed while one among them is stuck: it is found, and nothing is left of the others in
# the guard.
# suites: trixie
start_guard
guard=$(guard_pid)
cells churn 1 high=100M
churn=$CGROUPS/lab-churn
watches() { cat "/proc/$guard/fdinfo"/* | grep -c '^inotify wd' || true; }
descriptors() { ls "/proc/$guard/fd" | wc -l; }
anonymous() { sed -n 's/^RssAnon:[[:space:]]*\([0-9]*\).*/\1/p' "/proc/$guard/status"; }
stuck() {
  mkdir "$churn/stuck"
  limit "$churn/stuck" high=60M max=120M swap.max=0
  in_cell "$churn/stuck" load ticker "$(page server)"
}
# A first thousand, and a first one that is stuck: what the guard keeps for ever is there afterwards, the recorder's memory and
# what an incident takes to write.
stuck
in_cell "$churn/stuck" hog --size 64; first=$!
"$BIN/load" churn "$churn" 1000
onset "$churn/stuck"
expect_gone "$churn/stuck" 15 "$first" "the first hog"
expect_entry exited "$first"
soon entry recovered || fail "no entry 'recovered' of the first"
remove_cgroup "$churn/stuck"
# Until it takes no more for that.
settled() { local then; then=$(anonymous); pause 6; (( $(anonymous) == then )); }
soon settled || fail "the guard's memory still grows"
before=$(( $(descriptors) + $(watches) )) resident=$(anonymous)
stuck
bystanders
begin=$(now_ms)
"$BIN/load" churn "$churn" 9000 &
churning=$!
pause 2
in_cell "$churn/stuck" hog --size 64; victim=$!
onset "$churn/stuck"
expect_throttled "$churn/stuck"
expect_gone "$churn/stuck" 15 "$victim" "the hog"
wait "$churning" || fail "the cgroups could not be made and removed"
note "9000 cgroups made and removed in $(( $(now_ms) - begin )) ms"
expect_told "$churn/stuck" throttled $((60 << 20)) "$victim"
remove_cgroup "$churn/stuck"
# A first kill may open a file or two that stay open.
as_before() { (( $(descriptors) + $(watches) <= before + 4 )); }
soon as_before || fail "descriptors and watches of the guard: $before before, now $(descriptors) and $(watches)"
note "descriptors and watches: $before before, $(( $(descriptors) + $(watches) )) after; memory of its own: $resident KiB, $(anonymous) KiB"
expect "at most 64 KiB more memory of its own ($resident KiB before, now $(anonymous) KiB)" \
  test "$(anonymous)" -le $((resident + 64))
same "degraded entries" 0 "$(count degraded)"
expect_signalled "$first" "$victim"
