# What the scenarios share. Sourced by guest.sh; run as `bash lib.sh NAME` it becomes the shell of scenario NAME, which
# ends at the first expectation that is not met, or command that fails.
#
# Nothing here or in a scenario waits without a bound, and nothing writes to the disk: scenarios freeze it.

LAB=/run/lab
BIN=$LAB/bin
# A block device that nobody uses: what scenarios read, map or swap to.
DISK=/dev/vdc
# Another, which does a thousand reads and writes a second at most.
SLOW_DISK=/dev/vdd
export TMPDIR=$LAB/tmp LC_ALL=C
. /lab/cells.sh

# --- saying how it goes ----------------------------------------------------------------------------------------------

# A line for whoever reads the results: what was measured, how a control did.
note() { echo "$*" | tee -a "$LAB/notes"; }

fail() { echo "$*" >> "$LAB/reason"; echo "FAILED: $*"; exit 1; }

# expect WHAT COMMAND...: the command must succeed.
expect() {
  local what=$1; shift
  "$@" || fail "expected $what"
  echo "ok: $what"
}

not() { ! "$@"; }

# same WHAT WANTED SEEN
same() { [[ $2 == "$3" ]] || fail "$1: expected '$2', saw '$3'"; echo "ok: $1 is '$2'"; }

# --- time ------------------------------------------------------------------------------------------------------------

# pause SECONDS, without starting a process: there may be no memory for one.
pause() { read -rt "$1" <> "$LAB/quiet" || true; }

now_ms() { echo $(( ${EPOCHREALTIME/./} / 1000 )); }

# wait_for SECONDS COMMAND...: tries until it succeeds; fails after SECONDS. A last try comes after that time: one try may
# take all of it.
wait_for() {
  local until=$(( ${EPOCHREALTIME/./} + $1 * 1000000 )) last=; shift
  until "$@"; do
    [[ -z $last ]] || return 1
    (( ${EPOCHREALTIME/./} < until )) || last=1
    pause 0.1
  done
}

# soon COMMAND...: for what comes when somebody else gets round to it (an entry in the journal, a file of the reporter's, a
# unit's end): bounded against a hang, and no promise of hogwatch's.
soon() { wait_for 60 "$@"; }

# stays SECONDS COMMAND...: it must succeed all this time.
stays() {
  local until=$(( $(now_ms) + $1 * 1000 )); shift
  while (( $(now_ms) < until )); do
    "$@" || return 1
    pause 0.2
  done
}

# --- memory ----------------------------------------------------------------------------------------------------------

# memory KEY: a line of /proc/meminfo, in MiB.
memory() {
  local key value _
  while read -r key value _; do
    [[ $key == "$1:" ]] && { echo $((value / 1024)); return; }
  done < /proc/meminfo
  return 1
}

# share PERCENT: of MemTotal, in MiB.
share() { echo $(( $1 * $(memory MemTotal) / 100 )); }

# below PERCENT: MemAvailable is at or below it.
below() { (( $(memory MemAvailable) * 100 <= $1 * $(memory MemTotal) )); }

# 1 + 2: page cache and slabs; 4: without a line in the kernel's log.
drop_caches() { echo 7 > /proc/sys/vm/drop_caches; }

# How often the kernel's OOM killer has killed since boot.
oom_kills() {
  local key value
  while read -r key value; do
    [[ $key == oom_kill ]] && { echo "$value"; return; }
  done < /proc/vmstat
}

expect_no_kernel_oom() { same "kernel OOM kills" "$OOM_KILLS" "$(oom_kills)"; }

# --- hogs: each in a unit hog-NAME.service, so that systemd tells how it ended ----------------------------------------

# hog NAME [-p SETTING]... ARGUMENTS...: starts one (helpers/hog.c), with these settings for its unit. HOG_BINARY is the
# file to run.
HOG_BINARY=$BIN/hog
hog() { local name=$1; shift; start_unit "$name" "$HOG_BINARY --progress $LAB/progress/$name" "$@"; }

# load NAME [-p SETTING]... KIND ARGUMENTS...: what is no hog (helpers/load.c), in a unit hog-NAME.service too.
load() { local name=$1; shift; start_unit "$name" "$BIN/load" "$@"; }

# start_unit NAME COMMAND [-p SETTING]... ARGUMENTS...
start_unit() {
  local name=$1 command=$2 settings=(); shift 2
  while [[ $1 == -p ]]; do settings+=(-p "$2"); shift 2; done
  # RemainAfterExit: SIGTERM is a clean end to systemd, which forgets such a unit at once otherwise.
  # shellcheck disable=SC2086 # a list of words
  systemd-run --quiet --unit="hog-$name" -p Type=exec -p RemainAfterExit=yes -p OOMScoreAdjust=0 "${settings[@]}" \
    $command "$@" || fail "could not start hog-$name.service"
}

hog_pid() { systemctl show -P MainPID "hog-$1.service"; }

# reached NAME WORD: the hog wrote "paused" or "there".
reached() { grep -qs "^$2" "$LAB/progress/$1"; }

# hog_at NAME WORD: waits until it did.
hog_at() { wait_for 60 reached "$1" "$2" || fail "hog $1 was not '$2' after 60 s"; }

# resume NAME: goes on after --pause, or takes memory again up to --to.
resume() {
  local pid; pid=$(hog_pid "$1")
  (( pid > 0 )) || fail "hog $1 ended before it was to go on"
  kill -USR1 "$pid"
}

alive() { [[ -d /proc/$1 ]]; }
gone() { [[ ! -d /proc/$1 ]]; }

# ended_by NAME: "SIGTERM", "SIGKILL" ..., "exit", or "nothing" while it lives.
ended_by() {
  local code status
  { read -r code; read -r status; } < <(systemctl show --value -p ExecMainCode -p ExecMainStatus "hog-$1.service")
  case $code in
    0) echo nothing ;;
    1) echo exit ;;
    *) echo "SIG$(kill -l "$status")" ;;
  esac
}

# foretell PID [ARGUMENTS...]: explain's first candidate, and its victim, must be PID. Called just before a kill.
foretell() {
  local pid=$1 told; shift
  told=$(hogwatch explain --json "$@") || fail "hogwatch explain ended with status $?"
  echo "$told" > "$LAB/explain.json"
  jq -c '(.candidates[:4], (.excluded | map(select(.reason | startswith("outside") | not))))[] | [.pid, .comm, .tier, .size_bytes, .reason]' <<< "$told"
  same "explain's first candidate" "$pid" "$(jq -r '.candidates[0].pid' <<< "$told")"
}

# expect_incident KIND CAUSE WORDS...: the latest incident of this kind, ended by CAUSE, is in the list, and the page that
# `incidents show` prints of it says all the WORDS (wherever its lines break). Its id is in INCIDENT then.
expect_incident() {
  local kind=$1 cause=$2 page words; shift 2
  soon find_incident "$kind" "$cause" ||
    fail "no incident of kind $kind by $cause, but $(hogwatch incidents --json | jq -c '[.incidents[] | [.kind, .cause]]')"
  # It is written at the first act, and again as the rest becomes known.
  for words; do
    soon page_says "$words" || { hogwatch incidents show "$INCIDENT"; fail "the page does not say '$words'"; }
  done
  hogwatch incidents show "$INCIDENT"
}
find_incident() {
  INCIDENT=$(hogwatch incidents --json |
    jq -r --arg kind "$1" --arg cause "$2" '[.incidents[] | select(.kind == $kind and .cause == $cause)][0].id // empty')
  [[ -n $INCIDENT ]]
}
page_says() { [[ $(hogwatch incidents show "$INCIDENT" | tr -s ' \n' ' ') == *"$1"* ]]; }

# Everything that runs outside the lab's own unit: "PID NAME" lines. Left out: kernel threads, helpers that end when
# they have nothing to do, and what a guard asks systemctl.
processes() {
  ps -eo pid=,ppid=,cgroup:200=,comm= | while read -r pid ppid cgroup name; do
    [[ $ppid == 2 || $pid == 2 || $cgroup == */lab.service* ]] && continue
    [[ $cgroup == */hogwatch*.service* && $name != hogwatch ]] && continue
    [[ $name =~ ^(\(?udev-worker|systemd-udevd|systemd-userwor|systemd-hostnam|systemd-timedat|\(sd-|ps$) ]] && continue
    echo "$pid $name"
  done | sort
}

# bystanders: notes who lives now. expect_bystanders [PID...]: all of them still live, but the PIDs.
bystanders() { processes > "$LAB/bystanders"; }
expect_bystanders() {
  local died pid name
  # By pid alone: a process may have been between its start and its program when it was noted.
  died=$(join -v 1 <(sort -k 1b,1 "$LAB/bystanders") <(processes | sort -k 1b,1) | while read -r pid name; do
    [[ " $* " == *" $pid "* ]] || echo -n "$name (pid $pid) "
  done)
  same "others that died" "" "$died"
}

# --- hogwatch --------------------------------------------------------------------------------------------------------

GUARD=hogwatch.service

# config: standard input becomes a drop-in of the system's configuration.
config() { mkdir -p /etc/hogwatch/hogwatch.toml.d; cat > /etc/hogwatch/hogwatch.toml.d/50-lab.toml; }

# unit_setting UNIT: standard input becomes a drop-in of the unit.
unit_setting() { mkdir -p "/run/systemd/system/$1.d"; cat > "/run/systemd/system/$1.d/50-lab.conf"; systemctl daemon-reload; }

start_guard() {
  systemctl start "$GUARD" || { systemctl status --no-pager "$GUARD" || true; fail "$GUARD did not start"; }
}

guard_pid() { systemctl show -P MainPID "$GUARD"; }

# log [ARGUMENTS...]: journalctl, since the scenario began. (Not --after-cursor: systemd 252 loses the first match after it.)
log() { journalctl -q --no-pager --since="@$(<"$LAB/since")" "$@"; }

# logged TEXT [ARGUMENTS...]: a message has it.
logged() { local text=$1; shift; log -o cat "$@" | grep -q -- "$text"; }

# journal [MATCH...]: entries, one JSON object a line.
journal() { log -o json "$@"; }

# entries EVENT [MATCH...]: hogwatch's entries of one kind.
entries() { local event=$1; shift; journal HOGWATCH_EVENT="$event" "$@"; }

# entry EVENT [MATCH...]: one is there. count EVENT [MATCH...]: how many.
entry() { [[ -n $(entries "$@") ]]; }
count() { entries "$@" | wc -l; }

# field EVENT NAME [MATCH...]: a field of the first such entry; names without HOGWATCH_ get it. "null" when it is not there.
field() {
  local event=$1 name=$2; shift 2
  [[ $name == MESSAGE* || $name == PRIORITY || $name == _* ]] || name=HOGWATCH_$name
  entries "$event" "$@" | head -n 1 | jq -r --arg f "$name" '.[$f]'
}

# acts: what hogwatch did, in order, as words: "term kill exited".
acts() { journal | jq -r 'select(.HOGWATCH_EVENT | IN("term","kill","exited","set_aside")?) | .HOGWATCH_EVENT' | xargs; }

# expect_entry EVENT PID: the journal soon has one, and it names this process.
expect_entry() {
  soon entry "$1" HOGWATCH_PID="$2" || fail "no '$1' entry for pid $2 in the journal after 60 s; there are: $(acts)"
  echo "ok: entry '$1' for pid $2"
}

# expect_signalled [PID...]: hogwatch signalled these, and nobody else.
expect_signalled() {
  same "processes hogwatch signalled" "$(printf '%s\n' "$@" | sort -u | xargs)" "$(journal _SYSTEMD_UNIT="$GUARD" \
    | jq -r 'select(.HOGWATCH_EVENT | IN("term","kill")?) | .HOGWATCH_PID' | sort -u | xargs)"
}

# expect_only_victim PID NAME SIGNAL: hog NAME died of SIGNAL, it is the only one hogwatch touched, and nobody else died.
expect_only_victim() {
  expect_entry term "$1"
  expect_entry exited "$1"
  same "what ended hog $2" "$3" "$(ended_by "$2")"
  expect_signalled "$1"
  expect_no_kernel_oom
  expect_bystanders "$1"
}

# --- alice, a plain user ---------------------------------------------------------------------------------------------

ALICE=1000
as_alice() { runuser -u alice -- env XDG_RUNTIME_DIR=/run/user/$ALICE HOME=/home/alice "$@"; }

# --- hogwatch run ----------------------------------------------------------------------------------------------------

# Where no guard runs. expect_no_runs: soon nothing is left of any run, no cgroup and no process of hogwatch.
expect_no_runs() { soon no_runs || fail "left of a run: $(run_cgroups | xargs) $(ps -eo pid=,stat=,cgroup=,args= | grep '[h]ogwatch' | xargs)"; }
no_runs() { [[ -z $(run_cgroups) ]] && ! pgrep -x hogwatch > /dev/null; }
run_cgroups() { find "$CGROUPS" -type d -name 'hogwatch-run*'; }

# --- alice's terminal: a session of hers with a shell in tmux, 80 by 24 ----------------------------------------------------

TERMINAL=/run/user/$ALICE/terminal
terminal() { tmux -S "$TERMINAL" "$@"; }

# open_terminal: as a login does it, so that the shell is in a session's scope. Its prompt is "outer> ".
open_terminal() {
  systemd-run --quiet --unit=hog-terminal -p Type=forking -p User=alice -p PAMName=login \
    env LC_ALL=C tmux -S "$TERMINAL" -f /dev/null new-session -d -x 80 -y 24 "env PS1='outer> ' bash --norc --noprofile" || fail "no terminal for alice"
  expect_screen '^outer>'
}

# enter LINE: types it, and the key Enter. press KEY: as tmux calls it, such as C-c.
enter() { terminal send-keys -l "$1" \; send-keys Enter; }
press() { terminal send-keys "$1"; }

# screen: what stands on it. expect_screen REGEX: within 30 s a line there matches.
screen() { terminal capture-pane -p; }
shows() { screen | grep -qE -- "$1"; }
expect_screen() { wait_for 30 shows "$1" || fail "the terminal does not show '$1', but: $(screen | grep . | tail -n 12)"; }

# expect_status PROMPT STATUS: the shell with this prompt is at it, and its last command ended so. The screen is empty then.
expect_status() {
  enter 'echo was=$?='
  wait_for 30 shows '^was=[0-9]+=$' || fail "no prompt came back: $(screen | grep . | tail -n 12)"
  same "the status that the shell saw" "$2" "$(screen | sed -n 's/^was=\([0-9]*\)=$/\1/p' | tail -n 1)"
  press C-l
  wait_for 30 cleared "$1" || fail "the screen is not empty but for '$1': $(screen | grep . | tail -n 12)"
}
cleared() { [[ $(screen | grep .) =~ ^$1\ ?$ ]]; }

# --- the controls ----------------------------------------------------------------------------------------------------

# oomd_control: systemd-oomd, which acts on what units ask for (ManagedOOMMemoryPressure=) after 10 s. It is masked in /etc;
# /run/systemd/system.control comes before that. (Under another name PID 1 would not talk to it.)
oomd_control() {
  mkdir -p /run/systemd/oomd.conf.d /run/systemd/system.control
  printf '[OOM]\nDefaultMemoryPressureDurationSec=10s\n' > /run/systemd/oomd.conf.d/lab.conf
  cp /usr/lib/systemd/system/systemd-oomd.{service,socket} /run/systemd/system.control/
  systemctl daemon-reload
  systemctl start systemd-oomd.service || fail "systemd-oomd did not start"
}

# earlyoom_control [ARGUMENTS...]: earlyoom with hogwatch's default settings, without its package's sandbox.
earlyoom_control() {
  systemd-run --quiet --unit=lab-earlyoom -p Type=exec -p OOMScoreAdjust=-100 \
    earlyoom -m 5,3 -s 100,100 -r 0 "$@" || fail "earlyoom did not start"
  soon control_said "sending SIGTERM when" || fail "earlyoom said nothing for 60 s"
}
control_said() { logged "$1" -u lab-earlyoom; }
earlyoom_version() { earlyoom -v 2>&1 | head -n 1; }

# --- between scenarios -----------------------------------------------------------------------------------------------

booted() { [[ -z $(systemctl list-jobs --no-legend | grep -v 'lab.service\|multi-user.target\|graphical.target\|update-utmp') ]]; }

# freeze: the root disk takes no more writes. It thaws by itself after 150 s, whatever becomes of the scenario.
freeze() {
  ( sleep 150; fsfreeze --unfreeze / ) >/dev/null 2>&1 &
  echo $! > "$LAB/thawer"
  fsfreeze --freeze /
}
thaw() { [[ -f $LAB/thawer ]] || return 0; fsfreeze --unfreeze / 2>/dev/null || true; kill "$(<"$LAB/thawer")" 2>/dev/null || true; rm -f "$LAB/thawer"; return 0; }

journald_pid() { systemctl show -P MainPID systemd-journald.service; }
# stop_journald: it reads nothing more, and its sockets are full.
stop_journald() {
  kill -STOP "$(journald_pid)"
  echo "ok: journald stopped, its sockets took $("$BIN/fill_journal" | xargs) more entries"
}
continue_journald() { kill -CONT "$(journald_pid)"; }

# restore: whatever the scenario left, the machine is as it was after the boot. Each step only where there is something to
# do: systemctl takes its time here.
restore() {
  thaw
  continue_journald
  if [[ -d /run/user/$ALICE/hogwatch || -d /home/alice/.config ]]; then
    as_alice systemctl --user --quiet disable --now hogwatch.service
    as_alice systemctl --user --quiet stop 'hog-*.service' 'band*.slice'
    as_alice systemctl --user reset-failed
    rm -rf /home/alice/.config /home/alice/.local /run/user/$ALICE/hogwatch
  fi
  # contain's: who is logged in by ssh, with a manager that would end some time later, and what was applied.
  if [[ -e $LAB/key ]]; then
    systemctl stop 'session-*.scope'
    systemctl stop user@0.service user@1001.service 2>/dev/null
    hogwatch contain --revert
    ! id -u bob >/dev/null 2>&1 || userdel --force --remove bob
    rm -rf "$LAB"/key* /home/alice/.ssh /root/.ssh /etc/docker /run/systemd/system/docker.service
    systemctl daemon-reload
  fi
  systemctl kill --signal=KILL 'hog-*.service' 2>/dev/null
  systemctl stop 'hog*.service' 'hog*.scope' earlyoom.service lab-earlyoom.service 2>/dev/null
  local group
  for group in /sys/fs/cgroup/lab-*/; do
    [[ ! -d $group ]] || remove_cgroup "$group"
  done
  if [[ -n $(find /etc/systemd/system -name 'hogwatch*') ]]; then systemctl --quiet disable hogwatch.service hogwatch-dryrun.service; fi
  if [[ -n $(find /run/systemd/system{,.control} -name 'hogwatch*.d' -o -name 'band*.slice' -o -name 'systemd-oomd*') ]]; then
    systemctl stop 'band*.slice' 'systemd-oomd.*' 2>/dev/null
    rm -rf /run/systemd/system/hogwatch*.d /run/systemd/system{,.control}/band*.slice* \
      /run/systemd/system.control/systemd-oomd* /run/systemd/oomd.conf.d
    systemctl daemon-reload
  fi
  systemctl reset-failed
  swapoff --all
  # udev looks at a device once more when whoever wrote to it has closed it, and it is in use meanwhile.
  [[ ! -d /sys/module/zram ]] || wait_for 20 modprobe -r zram
  rm -rf /etc/hogwatch /var/lib/hogwatch* /run/hogwatch*
  cp -r --no-preserve=ownership /lab/root/etc/hogwatch /etc/
  rm -rf "$LAB"/progress/* "$LAB"/*.json "$LAB"/copies
}

# left_behind: what differs from the machine after its boot, in words; nothing when it is clean.
left_behind() {
  local word
  wait_for 30 memory_is_back || echo -n "memory ($(memory MemAvailable) MiB available, $(<"$LAB/baseline") before); "
  pgrep -x pulse > /dev/null || echo -n "the pulse has ended; "
  # A zombie too, until systemd has seen its end.
  wait_for 30 not strays >/dev/null || echo -n "processes ($(strays | xargs)); "
  word=$(systemctl list-units --no-legend --plain --state=failed | cut -d' ' -f1 | xargs); [[ -z $word ]] || echo -n "failed units ($word); "
  (( $(wc -l < /proc/swaps) == 1 )) || echo -n "swap; "
  [[ ! -d /etc/hogwatch/hogwatch.toml.d ]] || echo -n "configuration; "
  grep -q '^State:.T' "/proc/$(journald_pid)/status" && echo -n "journald stopped; "
  return 0
}
strays() { ps -eo comm= | grep -E '^(hog|hogwatch|earlyoom)'; }
# The kernel keeps some of what it took (slabs, caches of dead cgroups); a hog or a file in memory is larger.
memory_is_back() { (( $(memory MemAvailable) >= $(<"$LAB/baseline") - 64 )); }

# --- as a program: one scenario --------------------------------------------------------------------------------------

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
  set -Eeuo pipefail
  trap 'status=$?; [[ -s $LAB/reason ]] || echo "${BASH_SOURCE[0]##*/} line $LINENO: \"$BASH_COMMAND\" ended with status $status" >> "$LAB/reason"' ERR
  journalctl --sync
  echo "$EPOCHREALTIME" > "$LAB/since"
  OOM_KILLS=$(oom_kills)
  # What looks on is read from the disk now: at 4 % its own page cache would count.
  { journal; processes; hogwatch explain; } | jq -R . >/dev/null || true
  . "/lab/scenarios/$1.sh"
fi
