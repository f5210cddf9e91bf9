# `hogwatch contain --apply` caps users who are logged in by ssh already, root excepted, and who logs in later; no session ends by
# it. --revert leaves no trace. Wrong use and a read-only /etc change nothing.
# suites: bookworm trixie
MIB=$((1 << 20))
USERS=$CGROUPS/user.slice
modprobe zram
echo 256M > /sys/block/zram0/disksize
mkswap -q /dev/zram0
swapon /dev/zram0

# session USER HOME: opens one by ssh; what is written to the descriptor in SESSION, its shell does. SHELL_PID is that shell.
session() {
  local home=$2 file=$LAB/progress/shell-$1
  install -d -m 700 -o "$1" "$home/.ssh"
  install -m 600 -o "$1" "$LAB/key.pub" "$home/.ssh/authorized_keys"
  rm -f "$file"
  exec {SESSION}> >(exec ssh -T -i "$LAB/key" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
    -o LogLevel=ERROR "$1@127.0.0.1" bash)
  echo "echo \$\$ > $file" >&"$SESSION"
  wait_for 60 test -s "$file" || fail "no session of $1 by ssh after 60 s"
  SHELL_PID=$(<"$file")
}
rm -f "$LAB/key" "$LAB/key.pub"
ssh-keygen -q -t ed25519 -N '' -f "$LAB/key"
session alice /home/alice; alice=$SESSION alices=$SHELL_PID
session root /root; root=$SESSION roots=$SHELL_PID
same "where alice works" "0::/user.slice/user-$ALICE.slice/session" "$(sed 's/-[0-9c]*\.scope$//' "/proc/$alices/cgroup")"
same "where root works" "0::/user.slice/user-0.slice/session" "$(sed 's/-[0-9c]*\.scope$//' "/proc/$roots/cgroup")"

# What docker's package brings, as far as it matters here.
printf '[Service]\nExecStart=/usr/bin/sleep infinity\n' > /run/systemd/system/docker.service
systemctl daemon-reload
mkdir -p /etc/docker
printf '{\n\t"dns": ["10.0.0.1"],\n\t"log-opts": {"max-size": "10m"}\n}' > /etc/docker/daemon.json
chmod 640 /etc/docker/daemon.json

# All that contain may touch, byte for byte; the units of sessions apart, which come and go.
files() {
  local dir there=()
  for dir in /etc/systemd /etc/docker /run/systemd/{system,system.control,transient} /var/lib/hogwatch; do
    if [[ -e $dir ]]; then there+=("$dir"); fi
  done
  find "${there[@]}" ! -name 'session-*.scope' -printf '%p %y %m %u:%g %l\n' | sort
  find "${there[@]}" ! -name 'session-*.scope' -type f -exec sha256sum {} + | sort
}
# The limits, weights and controllers of all slices that it may touch.
values() {
  local dir file
  for dir in "$CGROUPS" "$USERS" "$USERS/user-$ALICE.slice" "$USERS/user-0.slice" "$CGROUPS/system.slice"; do
    for file in memory.max memory.high memory.swap.max cpu.weight io.weight cgroup.subtree_control; do
      if [[ -e $dir/$file ]]; then echo "$dir/$file $(<"$dir/$file")"; fi
    done
  done
}
files > "$LAB/files"
values > "$LAB/values"
untouched() { diff "$LAB/files" <(files) && diff "$LAB/values" <(values); }
# refused STATUS WORDS COMMAND...: ends with that status, says the words, and changes nothing.
refused() {
  local wanted=$1 words=$2 told status=0; shift 2
  told=$("$@" 2>&1) || status=$?
  same "exit status of ${*: -4}" "$wanted" "$status"
  [[ $told == *"$words"* ]] || fail "it does not say '$words' but: $told"
}
refused 2 "has no unit" hogwatch contain --per-user 0 --apply
refused 2 "4GG" hogwatch contain --per-user 4GG --apply
refused 2 "cannot be used with" hogwatch contain --per-user 300M --apply --revert
refused 1 "this machine has" hogwatch contain --per-user 3G --apply
refused 1 "needs root" as_alice hogwatch contain --per-user 300M --apply
# shellcheck disable=SC2016 # the other shell's
refused 1 "Read-only file system" unshare -m bash -c 'mount --bind /etc /etc; mount -o remount,ro,bind /etc; exec "$@"' - \
  hogwatch contain --per-user 300M --containers 400M --apply
expect "a user to see what would be done" as_alice hogwatch contain --per-user 300M
hogwatch contain --per-user 300M --containers 400M
expect "nothing to have changed" untouched

# --- applied: the open sessions are capped -------------------------------------------------------------------------------
limits() { echo "$(<"$1/memory.max") $(<"$1/memory.swap.max") $(<"$1/memory.high")"; }
hogwatch contain --per-user 300M --containers 400M --apply
same "alice's limits" "$((300 * MIB)) 0 max" "$(limits "$USERS/user-$ALICE.slice")"
same "root's limits" "max max max" "$(limits "$USERS/user-0.slice")"
same "the services' weights" "200 default 200" "$(xargs < "$CGROUPS/system.slice/cpu.weight") $(<"$CGROUPS/system.slice/io.weight")"
same "docker's configuration" '{"cgroup-parent":"docker.slice","dns":["10.0.0.1"],"log-opts":{"max-size":"10m"}}' \
  "$(jq -cS . /etc/docker/daemon.json)"
same "docker, which nobody started" inactive "$(systemctl is-active docker.service)"
same "own settings left in /run" "" "$(find /run/systemd/system.control -type f 2>/dev/null)"

echo "$BIN/hog --size 500; echo \$? > $LAB/progress/ended" >&"$alice"
wait_for 60 test -s "$LAB/progress/ended" || fail "alice's hog lives: $(limits "$USERS/user-$ALICE.slice"), $(<"$USERS/user-$ALICE.slice/memory.current")"
same "how alice's hog ended" 137 "$(<"$LAB/progress/ended")"
expect "the kernel to have killed at the cap" test "$(awk '$1 == "oom_kill" { print $2 }' "$USERS/user-$ALICE.slice/memory.events")" -ge 1
same "swap alice took" 0 "$(<"$USERS/user-$ALICE.slice/memory.swap.current")"
expect "alice's session to live" alive "$alices"
echo "$BIN/hog --size 500 --progress $LAB/progress/roots & echo \$! > $LAB/progress/roots-pid" >&"$root"
hog_at roots there
kill "$(<"$LAB/progress/roots-pid")"
note "a hog of 500 MiB died in alice's open session at 300 MiB, and lived in root's"

# --- who comes later ------------------------------------------------------------------------------------------------------
useradd --uid 1001 --create-home bob
session bob /home/bob; bob=$SESSION
same "bob's limits" "$((300 * MIB)) 0 max" "$(limits "$USERS/user-1001.slice")"
run_cap() { runuser -u bob -- env XDG_RUNTIME_DIR=/run/user/1001 systemd-run --user --quiet --scope -p MemoryMax=100M "$@"; }
# shellcheck disable=SC2016 # the other shell's
same "the limit of bob's own scope" "$((100 * MIB))" "$(run_cap bash -c 'cat "/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)/memory.max"')"
systemd-run --quiet --unit=hog-container --slice=docker.slice sleep infinity
same "the containers' limits" "$((400 * MIB)) 0 max" "$(limits "$CGROUPS/docker.slice")"

# --- other sizes, and when they would kill ----------------------------------------------------------------------------------
echo "$BIN/hog --size 230 --progress $LAB/progress/alices & echo \$! > $LAB/progress/alices-pid" >&"$alice"
hog_at alices there
files > "$LAB/applied"
refused 1 "user-$ALICE.slice (alice) holds" hogwatch contain --per-user 256M --containers 400M --apply
expect "the files to be as they were" diff "$LAB/applied" <(files)
same "alice's limits" "$((300 * MIB)) 0 max" "$(limits "$USERS/user-$ALICE.slice")"
hogwatch contain --per-user 500M --containers 400M --apply
same "alice's limits" "$((500 * MIB)) 0 max" "$(limits "$USERS/user-$ALICE.slice")"
expect "alice's second hog to live" alive "$(<"$LAB/progress/alices-pid")"
kill "$(<"$LAB/progress/alices-pid")"
systemctl set-property --runtime user-$ALICE.slice MemoryMax=600M
hogwatch contain --per-user 400M --containers 400M --apply
same "the limit that alice has by exception" $((600 * MIB)) "$(<"$USERS/user-$ALICE.slice/memory.max")"
same "bob's limits" "$((400 * MIB)) 0 max" "$(limits "$USERS/user-1001.slice")"
systemctl revert user-$ALICE.slice
rm -rf /run/systemd/system.control

# --- taken back ------------------------------------------------------------------------------------------------------------
systemctl stop hog-container.service
exec {bob}>&-
# It would stay for another 10 s (UserStopDelaySec= of logind.conf).
systemctl stop user@1001.service
wait_for 60 not pgrep -u bob || fail "bob is still there"
userdel --remove bob
hogwatch contain --revert
expect "no trace in files" diff "$LAB/files" <(files)
expect "no trace in limits, weights and controllers" diff "$LAB/values" <(values)
expect "alice's session to live" alive "$alices"
expect "root's session to live" alive "$roots"
exec {alice}>&- {root}>&-
