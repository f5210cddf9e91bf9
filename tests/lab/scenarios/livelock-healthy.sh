# Busy at their limits and healthy, side by side for 60 s: hogwatch kills nobody and speaks of no livelock. Beside them, in a
# slice that hogwatch is told not to look at, the controls look on at the incident: earlyoom, and systemd-oomd, which is told
# to act on the slice at 60 % for 10 s. Of the controls only the situation is asserted; what they did is in the note.
# suites: bookworm trixie
config <<TOML
[livelock]
cgroups = ["lab-*"]
TOML
earlyoom_control
oomd_control
slice band MemoryHigh=200M MemoryMax=400M MemorySwapMax=0 \
  ManagedOOMMemoryPressure=kill ManagedOOMMemoryPressureLimit=60%
band=$CGROUPS/band.slice
load control -p Slice=band.slice ticker "$(page control)"
soon calm control || fail "the controls' ticker is late before there is a hog: $(late control) ms"
hog plateau -p Slice=band.slice --size 213
onset "$band"
ticks=$(rounds control) from=$(now_ms)
expect_throttled "$band"
expect_late control
soon eval '[[ $(oomctl) == *band.slice* ]]' || fail "systemd-oomd does not watch the slice: $(oomctl)"
healthy_for 60
now=$(now_ms)
note "$(earlyoom_version) and $(systemctl --version | head -n 1): $(( (now - ONSET[$band]) / 1000 )) s after the onset the hog was" \
  "ended by $(ended_by plateau); the ticker beside it did $(( $(rounds control) - ticks )) of $(( (now - from) / 100 )) ticks"
oomctl
log -o cat -u lab-earlyoom -u systemd-oomd
