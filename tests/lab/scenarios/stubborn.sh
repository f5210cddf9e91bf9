# A hog that ignores SIGTERM and rests between term and kill: SIGKILL after the grace. (The control, earlyoom: control-stubborn.)
# suites: bookworm trixie
# kill is far off: what the machine's own programs take meanwhile must not cross it, or it would not be the grace that ends.
config <<TOML
[memory]
kill = "1%"
[escalation]
grace = "5s"
TOML
start_guard
hog big --ignore-term --pause 10 --to 4.5
hog_at big paused
victim=$(hog_pid big)
foretell "$victim"
bystanders
resume big
wait_for 30 gone "$victim" || fail "the hog lives 30 s after it went on"
expect_only_victim "$victim" big SIGKILL
same "entries of acts" "term kill exited" "$(acts)"
same "signal of the kill entry" SIGKILL "$(field kill SIGNAL)"
# When they were sent; journald may have come to them later.
waited=$(( ($(field kill _SOURCE_REALTIME_TIMESTAMP) - $(field term _SOURCE_REALTIME_TIMESTAMP)) / 1000 ))
expect "the hog to ignore SIGTERM, and the grace of 5 s to be kept (it was $waited ms)" test "$waited" -ge 4900 -a "$waited" -le 8000
