# soak: fifty kills in one life of the guard. It misses none, kills nobody else, and does not grow.
# suites: bookworm trixie
readonly ROUNDS=50
start_guard
guard=$(guard_pid)
resident() { sed -n 's/^VmRSS:[[:space:]]*\([0-9]*\).*/\1/p' "/proc/$guard/status"; }
descriptors() { ls "/proc/$guard/fd" | wc -l; }
bystanders
for (( round = 1; round <= ROUNDS; round++ )); do
  hog "r$round" --pause 10 --to 4
  hog_at "r$round" paused
  victim=$(hog_pid "r$round")
  resume "r$round"
  wait_for 20 gone "$victim" || fail "round $round: the hog lives 20 s after it went on"
  same "what ended the hog of round $round" SIGTERM "$(ended_by "r$round")"
  (( round > 1 )) || { first_resident=$(resident) first_descriptors=$(descriptors); }
  systemctl stop "hog-r$round.service"
  pause 3
done
same "guard's pid" "$guard" "$(guard_pid)"
wait_for 10 eval '(( $(count exited) == ROUNDS ))' || fail "$(count exited) exited entries after $ROUNDS kills"
same "descriptors after $ROUNDS kills" "$first_descriptors" "$(descriptors)"
expect "at most 256 KiB more resident after $ROUNDS kills ($first_resident KiB, now $(resident) KiB)" \
  test "$(resident)" -le $((first_resident + 256))
expect_bystanders
expect_no_kernel_oom
