# An entry of a kill has its fields, and a hostile process name forges none.
# suites: trixie
start_guard
hog big --name $'x\nHOGWATCH_A=1' --pause 10 --to 4
hog_at big paused
victim=$(hog_pid big)
foretell "$victim"
bystanders
resume big
wait_for 20 gone "$victim" || fail "the hog lives 20 s after it went on"
expect_only_victim "$victim" big SIGTERM
entries term | jq .

same "UID" 0 "$(field term UID)"
same "UNIT" hog-big.service "$(field term UNIT)"
same "CGROUP" /system.slice/hog-big.service "$(field term CGROUP)"
same "SIGNAL" SIGTERM "$(field term SIGNAL)"
same "OOM_SCORE_ADJ" 0 "$(field term OOM_SCORE_ADJ)"
expect "PRIORITY err or crit" test "$(field term PRIORITY)" -le 3
total=$(( $(memory MemTotal) * 1048576 ))
size=$(field term SIZE_BYTES)
expect "SIZE_BYTES ($size) to be most of the machine ($total)" test "$size" -gt $((total / 2)) -a "$size" -lt "$total"
available=$(field term AVAILABLE_BYTES)
expect "AVAILABLE_BYTES ($available) to be at most 5 %" test "$available" -le $((total * 51 / 1000)) -a "$available" -gt 0
expect "AVAILABLE_PERCENT to be a number with two digits after the point" grep -qxE '[0-9]+\.[0-9]{2}' <<< "$(field term AVAILABLE_PERCENT)"
for name in DECIDE_USEC SWAP_BYTES; do
  expect "$name to be a number" grep -qxE '[0-9]+' <<< "$(field term "$name")"
done
for name in KIND REASON COMM CMDLINE; do
  expect "$name to say something" not grep -qx 'null\|' <<< "$(field term "$name")"
done
expect "FREED_BYTES of the exited entry to be a number" grep -qxE '[0-9]+' <<< "$(field exited FREED_BYTES)"
for event in start term exited; do
  expect "a MESSAGE_ID for $event" grep -qxE '[0-9a-f]{32}' <<< "$(field "$event" MESSAGE_ID)"
done
expect "no forged field" not eval '[[ -n $(journal HOGWATCH_A=1) ]]'
same "lines of the message" 1 "$(field term MESSAGE | wc -l)"
expect "the catalog to explain it" eval 'log -x HOGWATCH_EVENT=term | grep -q "Subject:"'
