# The control for journald-stuck: earlyoom, same settings, with its log pipe full. Small socket buffers and earlyoom's own
# debug lines fill it in seconds instead of hours.
# suites: trixie
buffer=$(</proc/sys/net/core/wmem_default)
echo 4608 > /proc/sys/net/core/wmem_default
earlyoom_control -d
echo "$buffer" > /proc/sys/net/core/wmem_default
hog big --pause 15 --to 4
hog_at big paused
victim=$(hog_pid big)
stop_journald
pause 5
resume big
if wait_for 12 gone "$victim"; then outcome="the hog was ended by SIG$(ended_by big)"; else outcome="the hog lives 12 s later"; fi
expect "the hog to have reached its level" reached big there
continue_journald
note "$(earlyoom_version): $outcome, $(( $(oom_kills) - OOM_KILLS )) kernel OOM kills"
