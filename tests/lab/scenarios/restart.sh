# The entry of an act says whether systemd will start the victim's service again, and so it comes.
# suites: bookworm trixie
start_guard
# service NAME RESTART: a hog in a service of its own that remembers that it was there, and only takes memory the first time.
service() {
  cat > "/run/systemd/system/hog-$1.service" <<UNIT
[Service]
Type=exec
OOMScoreAdjust=0
Restart=$2
RestartSec=100ms
ExecStart=/bin/sh -c 'test -e $LAB/progress/$1 && exec sleep 1000; exec $BIN/hog --progress $LAB/progress/$1 --pause 8 --to 4'
UNIT
  systemctl daemon-reload
  systemctl start "hog-$1.service" || fail "hog-$1.service did not start"
}
# ends NAME RESTART SENTENCE: it is taken, the entries say the sentence.
ends() {
  service "$1" "$2"
  hog_at "$1" paused
  local victim; victim=$(hog_pid "$1")
  foretell "$victim"
  # Below twice `warn` the guard asks systemd every 10 s about the largest.
  pause 12
  resume "$1"
  wait_for 20 gone "$victim" || fail "the hog lives 20 s after it went on"
  expect_entry term "$victim"
  expect_entry exited "$victim"
  field term MESSAGE HOGWATCH_PID="$victim"
  field exited MESSAGE HOGWATCH_PID="$victim"
  expect "the term entry to say: $3" eval 'field term MESSAGE HOGWATCH_PID='"$victim"' | grep -qF "unit hog-'"$1"'.service $3"'
  expect "the exited entry to say: $3" eval 'field exited MESSAGE HOGWATCH_PID='"$victim"' | grep -qF "unit hog-'"$1"'.service $3"'
}
systemctl show --property=SuccessExitStatus,RestartForceExitStatus,Restart,ExitType "$GUARD"
ends down on-failure "will not restart: to systemd SIGTERM is a clean end"
expect "it to stay down" stays 3 eval '[[ $(systemctl is-active hog-down.service) == inactive ]]'
ends back always "will be restarted by systemd"
wait_for 10 eval '[[ $(systemctl is-active hog-back.service) == active && $(hog_pid back) != 0 ]]' || fail "it did not come back: $(systemctl is-active hog-back.service)"
systemctl stop hog-back.service
rm -f /run/systemd/system/hog-{down,back}.service
systemctl daemon-reload
expect_no_kernel_oom
