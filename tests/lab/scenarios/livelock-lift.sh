# action = "lift": nobody is killed; memory.high goes to max, by systemd for its units and by the file elsewhere. It is put
# back when the pressure has been gone for 30 s, or at the next start after hogwatch was killed; a value that somebody else
# set meanwhile stays.
# suites: bookworm trixie
config <<TOML
[livelock]
after = "10s"
action = "lift"
TOML
start_guard
declare -A dir=([eased]=$CGROUPS/band.slice/band-eased.slice [kept]=$CGROUPS/band.slice/band-kept.slice
  [changed]=$CGROUPS/band.slice/band-changed.slice [byhand]=$CGROUPS/lab-byhand)
for shape in eased kept changed; do slice "band-$shape" MemoryHigh=60M MemoryMax=120M MemorySwapMax=0; done
cell byhand high=60M max=120M swap.max=0
in_cell "${dir[byhand]}" load ticker "$(page byhand)"
for shape in eased kept changed; do load "$shape" -p Slice="band-$shape.slice" ticker "$(page "$shape")"; done
bystanders
in_cell "${dir[byhand]}" hog --size 64; byhand=$!
for shape in eased kept changed; do hog "h$shape" -p Slice="band-$shape.slice" --size 64; done
onset "${dir[@]}"
onset=$(now_ms)
expect_throttled "${dir[@]}"
high_is() { [[ $(<"${dir[$1]}/memory.high") == "$2" ]]; }
for shape in "${!dir[@]}"; do
  until high_is "$shape" max; do
    not over "$onset" 18 || fail "hogwatch did not act within 18 s: memory.high of $shape is not lifted"
    pause 0.1
  done
done
# systemd is told after the file was written, and then the journal: a word of somebody else's in between would be one before the
# lift.
soon eval '(( $(count lift) == 4 ))' || fail "$(count lift) lift entries for 4 that were lifted"
same "MemoryHigh as systemd has it" infinity "$(systemctl show -P MemoryHigh band-eased.slice)"
# Somebody else's word counts; the pressure goes where the hog goes.
systemctl set-property --runtime band-changed.slice MemoryHigh=90M
heased=$(hog_pid heased)
eased=$(now_ms)
kill -KILL "$byhand" "$heased"
for shape in "${!dir[@]}"; do soon calm "$shape" || fail "the ticker of $shape is still late: $(late "$shape") ms"; done
for shape in eased byhand; do
  until high_is "$shape" $((60 << 20)); do
    not over "$eased" 60 || fail "memory.high of $shape is not back 60 s after the pressure went"
    pause 0.2
  done
done
(( $(now_ms) - eased > 29000 )) || fail "memory.high is back after $(( $(now_ms) - eased )) ms already"
expect "the lift to hold where the pressure holds" high_is kept max
# The file comes first, then systemd, then the entry: what is killed in between has told nothing.
soon eval '(( $(count lift_restored) == 2 ))' || fail "$(count lift_restored) lift_restored entries for 2 that were put back"
killed=$(guard_pid)
kill -KILL "$killed"
# For ten seconds and more: then it is stuck again, and lifted again by the new one.
soon high_is kept $((60 << 20)) || fail "memory.high of kept is not back 60 s after hogwatch was killed"
expect "somebody else's value to stay" high_is changed $((90 << 20))
same "lift entries" 4 "$(count lift _PID="$killed")"
soon eval '(( $(count lift_restored) == 3 ))' || fail "$(count lift_restored) lift_restored entries for 3 that were put back"
expect_signalled
expect_bystanders "$killed"
