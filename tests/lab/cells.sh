# Cells: cgroups with limits, and what scenarios ask of them. Sourced by lib.sh.
#
# A cell is a cgroup made by hand below the root (cell) or a slice of systemd's (slice). DIR is its directory; TICKER the
# name of a page.

CGROUPS=/sys/fs/cgroup

# limit DIR FILE=VALUE...: FILE without its "memory.".
limit() {
  local dir=$1 pair; shift
  for pair; do echo "${pair#*=}" > "$dir/memory.${pair%%=*}" || fail "$dir: could not set $pair"; done
}

# cell NAME [FILE=VALUE...]: makes $CGROUPS/lab-NAME. in_cell DIR PROGRAM ARGUMENTS...: runs a helper in it; $! is its pid.
cell() { mkdir "$CGROUPS/lab-$1" || fail "no cell $1"; limit "$CGROUPS/lab-$1" "${@:2}"; }
in_cell() {
  local dir=$1 program=$2; shift 2
  ( echo "$BASHPID" > "$dir/cgroup.procs"; exec "$BIN/$program" "$@" ) &
}

# in_cell's hogs have no unit: cell_hog NAME DIR ARGUMENTS... starts one there that tells its progress as NAME; $! is its pid.
cell_hog() { local name=$1 dir=$2; shift 2; in_cell "$dir" hog --progress "$LAB/progress/$name" "$@"; }

# slice NAME SETTING...: NAME.slice with these settings. Names are band or band-SOMETHING, which is $CGROUPS/band.slice/...
slice() {
  local name=$1; shift
  mkdir -p /run/systemd/system
  printf '%s\n' '[Slice]' "$@" > "/run/systemd/system/$name.slice"
  systemctl start "$name.slice" || fail "$name.slice did not start"
}

# cells NAME COUNT [FILE=VALUE...]: $CGROUPS/lab-NAME with COUNT cgroups below, named 0, 1, ..., that have the limits.
cells() {
  local dir=$CGROUPS/lab-$1 count=$2 i; shift 2
  mkdir "$dir" || fail "no cells $dir"
  echo +memory > "$dir/cgroup.subtree_control"
  ( cd "$dir" && seq 0 $((count - 1)) | xargs mkdir )
  for (( i = 0; i < count; i++ )); do limit "$dir/$i" "$@"; done
}

# remove_cgroup DIR: with all that is in it.
remove_cgroup() {
  echo 1 > "$1/cgroup.kill"
  soon grep -q '^populated 0' "$1/cgroup.events"
  find "$1" -depth -type d -delete
}

# expect_ended PID SIGNAL: what in_cell started ended by it.
expect_ended() {
  local status=0
  wait "$1" || status=$?
  same "what ended pid $1" "$2" "SIG$(kill -l "$status" 2>/dev/null || echo "nothing, it exited with $status")"
}

# --- pages: where helpers/load.c tells how it gets on, without a page of the cgroup's own -------------------------------

# page NAME: makes one and prints its path.
page() {
  local file=$LAB/progress/$1
  printf '0 0 0 0 0 0\n%4000s\n' '' > "$file"
  chmod 666 "$file"
  echo "$file"
}

# rounds NAME: ticks or rounds done.
rounds() { local n _; read -r n _ < "$LAB/progress/$1"; echo "$n"; }

# late TICKER: how late its last tick was, or the one that is due is, in ms.
late() {
  local lag at due _
  read -r _ lag _ _ at _ < "$LAB/progress/$1"
  due=$(( $(now_ms) - at - 100 ))
  echo $(( due > lag ? due : lag ))
}

# The machine is emulated, on a host that has other work. stood SINCE [UNTIL]: for how long a processor of it stood still in that
# time (all in ms). still_until SINCE: until when one last did for a second or more, or SINCE.
stood() {
  awk 'NF { print $1 - $2, $1 }' "$LAB/pulse" | sort -n |
    awk -v since="$1" -v until="${2:-$(now_ms)}" '{
      from = $1 > since ? $1 : since; to = $2 < until ? $2 : until
      if (to > from) { sum += to - from; since = to }
    } END { print sum + 0 }'
}
still_until() { awk -v since="$1" '$2 >= 1000 && $1 > since { since = $1 } END { print since }' "$LAB/pulse"; }

# calm TICKER [TICKS]: the last 5 ticks were at most 20 ms late.
calm() {
  local calm at _
  read -r _ _ _ calm at _ < "$LAB/progress/$1"
  (( calm >= ${2:-5} && $(now_ms) - at < 300 ))
}

# expect_calm TICKER SINCE: at most 2 s after SINCE (ms), in which the machine ran, it was in time again for 5 ticks.
expect_calm() {
  local back
  wait_for 30 came_back "$@" || fail "the ticker is still late: $(late "$1") ms"
  back=$(( BACK - $2 - $(stood "$2" "$BACK") ))
  (( back <= 2000 )) || fail "the ticker was back in time after $back ms only"
  note "the ticker was back in time $(( BACK > $2 ? BACK - $2 : 0 )) ms later"
}
# It has ticked since then, and its next tick is not overdue.
came_back() {
  local at _
  read -r _ _ _ _ at BACK < "$LAB/progress/$1"
  (( BACK > 0 && at > $2 && $(now_ms) - at < 300 ))
}

# --- what the kernel says of a cell ------------------------------------------------------------------------------------

# event DIR NAME: a count of the cgroup's own (memory.events.local).
event() {
  local key value
  while read -r key value; do
    [[ $key == "$2" ]] && { echo "$value"; return; }
  done < "$1/memory.events.local"
}

# stalled DIR: ms in which none of its tasks could run, since it was made.
stalled() {
  local kind rest
  while read -r kind rest; do
    [[ $kind == full ]] && { echo $(( ${rest##*total=} / 1000 )); return; }
  done < "$1/memory.pressure"
}

# onset DIR...: waits until their `high` counts, 0 in a new cgroup, grow, and keeps the times (ms) in ONSET.
declare -A ONSET
onset() {
  local dir
  for dir; do ONSET[$dir]=; done
  wait_for 120 all_hit "$@" || fail "did not reach memory.high in 120 s: $(where "$@")"
}
all_hit() {
  local dir all=0
  for dir; do
    [[ -z ${ONSET[$dir]} ]] || continue
    if hits "$dir"; then ONSET[$dir]=$(now_ms); else all=1; fi
  done
  return $all
}
hits() { (( $(event "$1" high) > 0 )); }

# above MILLE DIR...: all are, of their memory.high.
above() {
  local mille=$1 dir; shift
  for dir; do (( $(<"$dir/memory.current") * 1000 > $(<"$dir/memory.high") * (1000 + mille) )) || return 1; done
}

# expect_throttled DIR...: for 2 s they stay above memory.high, and whoever allocates there is put to sleep in that time, or as
# soon as the machine runs.
expect_throttled() {
  local dir begin from=()
  # From 1.25 % on the kernel puts tasks to sleep; above that a hog still grows for a while, slowly.
  wait_for 6 above 17 "$@" || fail "not all above memory.high: $(where "$@")"
  begin=$(now_ms)
  for dir; do from+=("$(event "$dir" high) $(stalled "$dir")"); done
  stays 2 above 10 "$@" || fail "not all stay above memory.high: $(where "$@")"
  local hits stall
  for dir; do
    read -r hits stall <<< "${from[0]}"; from=("${from[@]:1}")
    wait_for 6 slept "$dir" "$hits" || fail "${dir##*/}: nobody was put to sleep in $(( $(now_ms) - begin )) ms (high +$(( $(event "$dir" high) - hits )))"
    local took=$(( $(now_ms) - begin ))
    echo "ok: ${dir##*/} is throttled: in $took ms high +$(( $(event "$dir" high) - hits )), stalled $(( ($(stalled "$dir") - stall) * 100 / took )) %"
  done
}
# slept DIR HITS: somebody was put to sleep there since `high` counted HITS. A sleep counts 17.
slept() { (( $(event "$1" high) - $2 >= 17 )); }
where() { local dir; for dir; do echo -n "${dir##*/} $(<"$dir/memory.current") of $(<"$dir/memory.high"); "; done; }

# expect_thrashing SECONDS DIR...: within that time each stalls for 20 % of 3 s, and what is reclaimed there is needed again;
# RESTORED percents of that are of the working set.
expect_thrashing() {
  local until=$(( $(now_ms) + $1 * 1000 )) dir; shift
  for dir; do
    until thrashes "$dir"; do (( $(now_ms) < until )) || fail "${dir##*/} does not thrash: $thrashing"; done
    echo "ok: ${dir##*/} thrashes: $thrashing"
  done
}
thrashes() {
  local begin from to stall
  begin=$(now_ms) stall=$(stalled "$1")
  read -ra from < <(circle "$1")
  pause 3
  stall=$(( ($(stalled "$1") - stall) * 100 / ($(now_ms) - begin) ))
  read -ra to < <(circle "$1")
  local steal=$((to[0] - from[0])) refaults=$((to[1] - from[1])) restored=$((to[2] - from[2]))
  thrashing="stalled $stall %, $steal pages reclaimed, $refaults needed again, $restored of them of the working set"
  RESTORED=$(( refaults > 0 ? restored * 100 / refaults : 0 ))
  (( stall >= 20 && steal > 0 && refaults * 2 >= steal ))
}
# circle DIR: pages reclaimed, pages needed again, and those of them that the kernel takes for the working set.
circle() {
  awk '$1 == "pgsteal" { s = $2 } $1 ~ /^workingset_refault_/ { r += $2 } $1 ~ /^workingset_restore_/ { w += $2 }
    END { print s, r, w }' "$1/memory.stat"
}

# expect_late TICKER...: each starves, or did: a tick took STARVED ms longer than it should. Far beyond what a busy host adds;
# the shortest livelock of a scenario lasts ten times that.
readonly STARVED=1000
expect_late() {
  local ticker
  for ticker; do
    wait_for 10 starved "$ticker" || fail "ticker $ticker does not starve: $(late "$ticker") ms late"
    echo "ok: ticker $ticker starves: $(late "$ticker") ms late"
  done
}
# It may be free again by now; then its latest tick tells.
starved() {
  local worst _
  read -r _ _ worst _ < "$LAB/progress/$1"
  (( worst > STARVED || $(late "$1") > STARVED ))
}

# --- what is busy at its limit and healthy -------------------------------------------------------------------------------

# healthy_for SECONDS: streams, a build, a database that swaps a little, and bursts, side by side under the guard.
healthy_for() {
  local begin kind dir pid from=()
  modprobe zram
  echo 256M > /sys/block/zram0/disksize
  mkswap -q /dev/zram0
  swapon /dev/zram0
  start_guard
  cell stream high=48M max=96M swap.max=0
  cell mapped high=48M max=96M swap.max=0
  cell build high=80M max=160M swap.max=0
  cell database high=64M max=128M
  cell burst high=50M max=100M swap.max=0
  in_cell "$CGROUPS/lab-burst" load ticker "$(page server)"
  local kinds=(stream mapped build database burst) pids=()
  local arguments=("$DISK 0 200 0" "$DISK 200 200" "$DISK 400 2" "$DISK 450 40" "52 8 5")
  for kind in "${!kinds[@]}"; do
    LOAD_PROGRESS=$(page "${kinds[kind]}")
    export LOAD_PROGRESS
    # shellcheck disable=SC2086 # a list of words
    in_cell "$CGROUPS/lab-${kinds[kind]}" load "${kinds[kind]}" ${arguments[kind]}
    pids+=($!)
  done
  begin=$(now_ms)
  for kind in "${kinds[@]}"; do
    onset "$CGROUPS/lab-$kind"
  done
  # All have been there. From now on each gets there again, be it rarely: a build's processes must be large together.
  for kind in "${kinds[@]}"; do from+=("$(rounds "$kind") $(event "$CGROUPS/lab-$kind" high)"); done
  local since=$(now_ms) n hits
  while (( $(now_ms) - begin < $1 * 1000 )); do pause 1; done
  for kind in "${kinds[@]}"; do
    dir=$CGROUPS/lab-$kind
    read -r n hits <<< "${from[0]}"; from=("${from[@]:1}")
    wait_for 90 eval '(( $(rounds "$kind") > n ))' || fail "$kind does not get on"
    wait_for 90 eval '(( $(event "$dir" high) > hits ))' || fail "$kind does not reach its memory.high any more"
    note "$kind gets on at its memory.high: $(( $(rounds "$kind") - n )) rounds and high +$(( $(event "$dir" high) - hits ))" \
      "in the last $(( ($(now_ms) - since) / 1000 )) s, since it began stalled for $(( $(stalled "$dir") * 100 / ($(now_ms) - begin) )) %"
  done
  for pid in "${pids[@]}"; do expect "a healthy one to live" alive "$pid"; done
  same "entries of livelocks and acts" "" "$(journal | jq -r 'select(.HOGWATCH_EVENT
    | IN("livelock","oom_stuck","term","kill","refused","lift")?) | .MESSAGE' | head -n 3)"
  expect_no_kernel_oom
}

# --- what hogwatch did about it ------------------------------------------------------------------------------------------

# over SINCE SECONDS: so much time has passed since then, and since the machine last stood still after that; or twice as much in
# which it did not. It starts a program only when it may be: on a machine that thrashes whoever looks on takes a part.
over() {
  local now=$(( ${EPOCHREALTIME/./} / 1000 ))
  (( now - $1 >= $2 * 1000 )) || return 1
  (( now - $(still_until "$1") >= $2 * 1000 )) || (( now - $1 - $(stood "$1" "$now") >= $2 * 2000 ))
}

# expect_gone DIR SECONDS PID WHO: it is gone at most so long after the onset in DIR. Where the machine stood still since, it is
# so long after that: nothing can be seen of a cgroup meanwhile, and the evidence of before may not suffice.
expect_gone() {
  local onset=${ONSET[$1]}
  while alive "$3"; do
    if over "$onset" "$2"; then
      [[ ! -d $1 ]] || hogwatch explain --cgroup "${1#"$CGROUPS"}" || true
      fail "hogwatch did not act within $2 s: $4 (pid $3) lives"
    fi
    pause 0.1
  done
  note "$4 was gone $(( $(now_ms) - onset )) ms after the onset"
}

# expect_told DIR KIND LIMIT PID [EVENT...]: a livelock entry names the cgroup, the kind and the limit in bytes, and these
# entries (term, exited) the process too; its cgroup is the stuck one, or the one below in which it lives.
expect_told() {
  local path=${1#"$CGROUPS"} kind=$2 bytes=$3 pid=$4 event told; shift 4
  (( $# )) || set -- term exited
  expect_entry exited "$pid"
  told=$(journal "HOGWATCH_CGROUP=$path" HOGWATCH_EVENT=livelock + HOGWATCH_PID="$pid" | jq -r --arg path "$path" '
    [.HOGWATCH_EVENT, .HOGWATCH_KIND,
    if ((.HOGWATCH_CGROUP // "") + "/" | startswith($path + "/")) then "here" else .HOGWATCH_CGROUP end,
    .HOGWATCH_LIMIT_BYTES] | join(" ")')
  echo "$told"
  for event in livelock "$@"; do
    grep -qxF "$event $kind here $bytes" <<< "$told" ||
      fail "no entry '$event' of kind $kind for pid $pid in $path with limit $bytes; there are: ${told//$'\n'/, }"
  done
}
