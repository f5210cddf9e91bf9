# Runs inside the machine as root, this folder on /lab: installs hogwatch, then runs the scenarios named in /lab/plan one
# after the other, each in a shell of its own, with a clean-up and a check that nothing is left behind in between.
# Prints for tests/lab/run: "LAB ...", "RUN name", "note ...", "| ..." (a failed scenario's log), "PASS name SECONDS" or
# "FAIL name: reason", and "END".
set -uo pipefail
. /lab/lib.sh

# A scenario is meant to take 60 s at most; on a slow or busy host it may take several times as long.
readonly SCENARIO_LIMIT=600
# The longest takes ten minutes.
readonly SOAK_LIMIT=1200

# A memory disk of the lab's own: /run takes no programs.
mkdir "$LAB"
mount -t tmpfs -o mode=755 lab "$LAB"
mkdir "$LAB/log" "$TMPDIR"
mkdir -m 1777 "$LAB/progress"
# Bash takes `read -t` on a pipe nobody writes to as a sleep that starts no process.
mkfifo "$LAB/quiet"
# Binaries the scenarios start are read now: not first when the machine is out of memory.
cp -r /lab/bin "$LAB/bin"

install_hogwatch() {
  cp -r --no-preserve=ownership /lab/root/. / || return
  systemd-sysusers || return
  journalctl --update-catalog || return
  systemctl daemon-reload
}

# One scenario: its log in $LAB/log/NAME, its reason to have failed in $LAB/reason. The isolation check is part of it.
run_scenario() {
  local name=$1 begin=${EPOCHREALTIME/./} status limit=$SCENARIO_LIMIT left
  echo "RUN $name"
  grep -q '^# soak' "/lab/scenarios/$name.sh" && limit=$SOAK_LIMIT
  rm -f "$LAB/reason" "$LAB/notes"
  timeout -k 5 "$limit" bash /lab/lib.sh "$name" >"$LAB/log/$name" 2>&1
  status=$?
  local millis=$(( (${EPOCHREALTIME/./} - begin) / 1000 ))
  if (( status == 0 )); then rm -f "$LAB/reason"
  elif (( status == 124 || status == 137 )); then echo "took more than $limit s" > "$LAB/reason"
  elif [[ ! -s $LAB/reason ]]; then echo "ended with status $status" > "$LAB/reason"; fi
  [[ ! -f $LAB/notes ]] || sed "s/^/note $name: /" "$LAB/notes"
  awk -v name="$name" -v since=$((begin / 1000)) '$1 > since { n++; sum += $2; if ($2 > most) most = $2 }
    END { if (most > 500) print "note " name ": the machine stood still " n " times, " most " ms at most, " sum " ms in all" }' "$LAB/pulse"
  if [[ -s $LAB/reason ]]; then thaw; dump "$name"; fi
  restore >>"$LAB/log/$name" 2>&1
  left=$(left_behind)
  if [[ -s $LAB/reason ]]; then echo "FAIL $name: $(tr '\n' ' ' < "$LAB/reason")"
  elif [[ -n $left ]]; then dump "$name"; echo "FAIL $name: left behind: $left"
  else printf 'PASS %s %d.%d\n' "$name" $((millis / 1000)) $((millis % 1000 / 100)); fi
}

# What helps to understand a failure, each line marked for tests/lab/run.
dump() {
  {
    tail -n 60 "$LAB/log/$1"
    echo "--- journal of hogwatch"
    log -o short-precise \
      _COMM=hogwatch + _SYSTEMD_UNIT=hogwatch.service + UNIT=hogwatch.service + USER_UNIT=hogwatch.service | tail -n 40
    echo "--- memory"
    grep -E '^(Mem|Swap)' /proc/meminfo
    ps -eo pid,uid,rss,comm --sort=-rss | head -n 8
    echo "--- threads of hogwatch: name, what it waits in"
    local task
    for task in $(systemctl show -P MainPID hogwatch.service | sed 's#.*#/proc/&/task/*#'); do
      [[ ! -d $task ]] || echo "$(<"$task/comm"): $(<"$task/wchan") $(head -n 6 "$task/stack" | sed 's/^[^ ]* //; s/+.*//' | xargs)"
    done
    echo "--- kernel"
    dmesg | grep -v 'systemd-journald.*sync journal\|systemd-ssh-generator' | tail -n 6
  } 2>&1 | sed 's/^/| /'
}

echo "LAB kernel $(uname -r), $(systemctl --version | head -n 1), $(memory MemTotal) MiB, $(wc -l < /lab/plan) scenarios"
if install_hogwatch >"$LAB/log/install" 2>&1; then
  systemctl start user@1000.service
  "$LAB/bin/pulse" "$LAB/pulse" &
  wait_for 60 booted || echo "LAB the machine never settled: $(systemctl list-jobs --no-legend | head -n 3)"
  drop_caches
  memory MemAvailable > "$LAB/baseline"
  while read -r name; do run_scenario "$name"; done < /lab/plan
else
  sed 's/^/| /' "$LAB/log/install"
  echo "LAB hogwatch could not be installed"
fi
echo END
