# The control for journald-stuck: earlyoom, same settings, logging to syslog (1.7 can't: to its standard output, which systemd
# gives a buffer of 8 MiB). Asserts only that the situation was there.
# suites: trixie
options=()
if earlyoom --help 2>&1 | grep -q -- --syslog; then options=(--syslog); fi
earlyoom_control "${options[@]}"
hog big --pause 10 --to 4
hog_at big paused
victim=$(hog_pid big)
stop_journald
resume big
if wait_for 12 gone "$victim"; then outcome="was ended by $(ended_by big)"; else outcome="lives 12 s after it went on"; fi
expect "the machine to have run low" test "$outcome" != "was ended by exit"
expect "the hog to have reached 5 %" eval 'reached big there || gone "$victim"'
note "$(earlyoom_version) ${options[*]}: the hog $outcome, kernel OOM kills: $(( $(oom_kills) - OOM_KILLS ))"
continue_journald
