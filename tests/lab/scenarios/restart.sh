# The entry of an act says whether systemd will start the victim's service again, and so it comes.
# suites: bookworm
start_guard
# service NAME SETTINGS: a hog in a service of its own that remembers that it was there, and only takes memory the first time.
service() {
  cat > "/run/systemd/system/hog-$1.service" <<UNIT
[Service]
Type=exec
OOMScoreAdjust=0
$(printf "$2")
RestartSec=100ms
ExecStart=/bin/sh -c 'test -e $LAB/progress/$1 && exec sleep 1000; exec $BIN/hog --progress $LAB/progress/$1 --pause 8 --to 4'
UNIT
  systemctl daemon-reload
  systemctl start "hog-$1.service" || fail "hog-$1.service did not start"
}
# says EVENT PID WORDS: the entry about the process ends with them.
says() { field "$1" MESSAGE HOGWATCH_PID="$2" | grep -q -- "; $3\$"; }
# ends NAME SETTINGS WORDS: it is taken, and the entries say so.
ends() {
  service "$1" "$2"
  hog_at "$1" paused
  local victim; victim=$(hog_pid "$1")
  foretell "$victim"
  # systemd is asked for the largest at every scan: one came as memory fell, and the answer is awaited for 3 s. Nobody else
  # can see that it came.
  pause 14
  resume "$1"
  wait_for 20 gone "$victim" || fail "the hog lives 20 s after it went on"
  expect_entry term "$victim"
  expect_entry exited "$victim"
  field term MESSAGE HOGWATCH_PID="$victim"
  field exited MESSAGE HOGWATCH_PID="$victim"
  expect "the term entry to say: $3" says term "$victim" "unit hog-$1.service $3"
  expect "the exited entry to say: $3" says exited "$victim" "unit hog-$1.service $3"
}
ends down Restart=on-failure "will not restart: to systemd SIGTERM is a clean end"
expect "it to stay down" stays 3 eval '[[ $(systemctl is-active hog-down.service) == inactive ]]'
# As systemd prints such lists on this machine, too.
ends back "Restart=no\nRestartForceExitStatus=7 SIGTERM" "will be restarted by systemd"
soon eval '[[ $(systemctl is-active hog-back.service) == active && $(hog_pid back) != 0 ]]' || fail "it did not come back: $(systemctl is-active hog-back.service)"
systemctl stop hog-back.service
rm -f /run/systemd/system/hog-{down,back}.service
systemctl daemon-reload
expect_no_kernel_oom
