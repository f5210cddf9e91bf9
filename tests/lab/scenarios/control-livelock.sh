# The controls for livelock-incident: earlyoom and systemd-oomd, told to act on the slice at 60 % for 10 s, look on for 60 s.
# Asserts only that the situation was there.
# suites: bookworm trixie
earlyoom_control
oomd_control
slice band MemoryHigh=200M MemoryMax=400M MemorySwapMax=0 \
  ManagedOOMMemoryPressure=kill ManagedOOMMemoryPressureLimit=60%
band=$CGROUPS/band.slice
load server -p Slice=band.slice ticker "$(page server)"
wait_for 10 calm server 10 || fail "the ticker is late before there is a hog: $(late server) ms"
hog plateau -p Slice=band.slice --size 213
onset "$band"
expect_throttled "$band"
expect_late server
wait_for 10 eval '[[ $(oomctl) == *band.slice* ]]' || fail "systemd-oomd does not watch the slice: $(oomctl)"
ticks=$(rounds server) from=$(now_ms)
pause $(( 60 - (from - ONSET[$band]) / 1000 ))
now=$(now_ms)
note "$(earlyoom_version) and $(systemctl --version | head -n 1): $(( (now - ONSET[$band]) / 1000 )) s after the onset the hog was" \
  "ended by $(ended_by plateau); the ticker did $(( $(rounds server) - ticks )) of $(( (now - from) / 100 )) ticks"
oomctl
log -o cat -u lab-earlyoom -u systemd-oomd
