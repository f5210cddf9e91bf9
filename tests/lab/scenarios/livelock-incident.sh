# The incident this project exists for: in a slice between its memory.high and memory.max a hog that asks for nothing more
# starves a server that asks for 256 KiB each 100 ms. The hog ends, and the server is back.
# suites: bookworm trixie
start_guard
slice band MemoryHigh=200M MemoryMax=400M MemorySwapMax=0
band=$CGROUPS/band.slice
load server -p Slice=band.slice ticker "$(page server)"
wait_for 10 calm server 10 || fail "the ticker is late before there is a hog: $(late server) ms"
bystanders
hog plateau -p Slice=band.slice --size 213
onset "$band"
victim=$(hog_pid plateau)
foretell "$victim" --cgroup /band.slice
expect_throttled "$band"
expect_late server
expect_gone "$band" 15 "$victim" "the hog"
expect_calm server "$(now_ms)"
expect_only_victim "$victim" plateau SIGTERM
expect_told "$band" throttled $((200 << 20)) "$victim"
expect_incident throttled hogwatch "SIGTERM was sent to hog (pid $victim," "it exited" "band.slice was stuck at its limit" \
  "memory.high (200 MiB) below memory.max with no swap" "systemctl set-property band.slice MemoryHigh=infinity"
