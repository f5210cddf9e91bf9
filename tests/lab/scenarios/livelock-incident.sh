# The incident this project exists for: in a slice between its memory.high and memory.max a hog that asks for nothing more
# starves a server that asks for 256 KiB each 100 ms. The hog ends, and the server is back.
# suites: bookworm trixie
start_guard
slice band MemoryHigh=200M MemoryMax=400M MemorySwapMax=0
band=$CGROUPS/band.slice
load server -p Slice=band.slice ticker "$(page server)"
soon calm server 10 || fail "the ticker is late before there is a hog: $(late server) ms"
hog plateau -p Slice=band.slice --first 150 --size 213
hog_at plateau paused
victim=$(hog_pid plateau)
foretell "$victim" --cgroup /band.slice
bystanders
resume plateau
onset "$band"
expect_throttled "$band"
expect_late server
expect_gone "$band" 15 "$victim" "the hog"
expect_calm server "$(now_ms)"
expect_only_victim "$victim" plateau SIGTERM
expect_told "$band" throttled $((200 << 20)) "$victim"
expect_incident throttled hogwatch "SIGTERM was sent to hog (pid $victim," "it exited" "band.slice was stuck at its limit" \
  "memory.high (200 MiB) below memory.max with no swap" "systemctl set-property band.slice MemoryHigh=infinity"

# What the rules saw of the slice is in the file, and judged anew it is the same within a second.
page_says "How band.slice stalled (memory.high 200 MiB, memory.max 400 MiB, no swap)" || fail "the page does not show the slice"
file=/var/lib/hogwatch/incidents/$INCIDENT.json
seconds=$(jq '[.cgroup_samples[].t_ms] | (max - min) / 1000 | floor' "$file")
expect "its samples to reach over the window, not $seconds s" test "$seconds" -ge 10
found=$(jq '[.events[] | select(.event == "livelock")][0].t_ms' "$file")
replayed=$(hogwatch replay "$file" --json 2>/dev/null | jq -s '[.[] | select(.kind == "throttled" and .cgroup == "/band.slice" and .action == "term")][0].t_ms // 0')
expect "a replay to find it within a second of $found, not at $replayed" test $(( replayed > found ? replayed - found : found - replayed )) -le 1000
printf '[livelock]\nafter = "6s"\n' > "$TMPDIR/shorter.toml"
replayed=$(hogwatch replay "$file" --config "$TMPDIR/shorter.toml" --json 2>/dev/null | jq -s ".[0].t_ms // 0")
expect "a replay with a shorter window to be some 4 s earlier than $found, not at $replayed" test $(( (found - replayed - 4000) / 1500 )) -eq 0
