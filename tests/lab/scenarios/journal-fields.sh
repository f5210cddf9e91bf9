# An entry of a kill has its fields, and hostile names of a process, its arguments, its unit and its cgroup forge none.
# suites: trixie
start_guard
# The whole of it is an argument; its first 15 bytes are the process's name. (The message id is that of "stop".)
hostile=$'x\nHOGWATCH_A=1\nMESSAGE_ID=ee57293d4051427cb3f3b1acf9e0af62\nPRIORITY=0\nHOGWATCH_EVENT=stop\e[2J\r'
# In a unit's name systemd escapes, and the escapes are plain text. In a cgroup's the kernel forbids the line break alone.
big='b\x0aig' home=$'x\e]0;title\a HOGWATCH_B=1\r'
hog "$big" --name "$hostile" --pause 10 --to 4
hog_at "$big" paused
victim=$(hog_pid "$big")
mkdir "/sys/fs/cgroup/system.slice/hog-$big.service/$home"
echo "$victim" > "/sys/fs/cgroup/system.slice/hog-$big.service/$home/cgroup.procs"
foretell "$victim"
bystanders
resume "$big"
wait_for 20 gone "$victim" || fail "the hog lives 20 s after it went on"
expect_only_victim "$victim" "$big" SIGTERM
entries term | jq .

same "UID" 0 "$(field term UID)"
same "UNIT" 'hog-b\x0aig.service' "$(field term UNIT)"
same "CGROUP" '/system.slice/hog-b\x0aig.service/x\x1b]0;title\x07 HOGWATCH_B=1\r' "$(field term CGROUP)"
same "COMM" 'x\nHOGWATCH_A=1\n' "$(field term COMM)"
expect "the command line, escaped" grep -qF 'MESSAGE_ID=ee57293d4051427cb3f3b1acf9e0af62\nPRIORITY=0\nHOGWATCH_EVENT=stop\x1b[2J\r' <<< "$(field term CMDLINE)"
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
for forged in HOGWATCH_A=1 HOGWATCH_B=1 MESSAGE_ID=ee57293d4051427cb3f3b1acf9e0af62 PRIORITY=0 HOGWATCH_EVENT=stop; do
  same "entries of hogwatch's with a forged $forged" "" "$(journal -t hogwatch "$forged")"
done
expect "no control character in what journalctl prints" not grep -q $'[\e\r\a]' <<< "$(log -a -t hogwatch)"
same "lines of the message" 1 "$(field term MESSAGE | wc -l)"
expect "the catalog to explain it" eval 'log -x HOGWATCH_EVENT=term | grep -q "Subject:"'
