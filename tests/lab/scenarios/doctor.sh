# doctor finds nothing on a well-kept machine, and every fault that is planted; a plain user is told what could not be seen.
# suites: bookworm trixie
cleanup() {
  local unit
  for unit in user-1000.slice system.slice ssh.service systemd-journald.service; do
    [[ ! -d /run/systemd/system.control/$unit.d ]] || systemctl set-property --runtime "$unit" \
      MemoryMax=infinity MemoryHigh=infinity MemorySwapMax=infinity MemoryMin=0
    rm -rf "/run/systemd/system.control/$unit.d"
  done
  systemctl stop "docker-$ID.scope" 2>/dev/null
  systemctl daemon-reload
  mount -o remount,hidepid=0 /proc
  while mountpoint -q "$LAB/full"; do umount "$LAB/full"; done
  sysctl -q -w "${kept[@]}"
}
# A container's, as Docker names it.
ID=3f4e8c9d2b1a3f4e8c9d2b1a3f4e8c9d2b1a3f4e8c9d2b1a3f4e8c9d2b1a3f4e
settings=(vm.swappiness vm.overcommit_memory vm.min_free_kbytes vm.panic_on_oom vm.oom_kill_allocating_task kernel.sysrq)
mapfile -t kept < <(sysctl "${settings[@]}" | sed 's/ = /=/')
trap cleanup EXIT

# examine [COMMAND...]: runs doctor (by COMMAND); its exit status is in STATUS.
examine() {
  STATUS=0
  "$@" hogwatch doctor --json > "$LAB/doctor.json" || STATUS=$?
  same "schema" 1 "$(jq .schema "$LAB/doctor.json")"
}
# The ids of what was found, at these severities.
found() { jq -r --arg severities "$*" '.findings[] | select(.severity | IN($severities | split(" ")[])) | .id' "$LAB/doctor.json" | sort -u | xargs; }

# --- as it is shipped: nobody watches, a user is there without a cap -------------------------------------------------
examine
same "found on a stock machine" "guard-off user-uncapped way-in-exposed" "$(found danger warning note)"
same "exit status" 1 "$STATUS"

# --- well kept -------------------------------------------------------------------------------------------------------
systemctl --quiet enable --now "$GUARD"
systemctl set-property --runtime user-1000.slice MemoryMax=1G MemorySwapMax=0
systemctl set-property --runtime system.slice MemoryMin=64M
systemctl set-property --runtime ssh.service MemoryMin=16M
systemctl set-property --runtime systemd-journald.service MemoryMin=32M
examine
same "found on a well-kept machine" "" "$(found danger warning note)"
same "exit status" 0 "$STATUS"
same "not seen by root" "[]" "$(jq -c .unseen "$LAB/doctor.json")"
expect "the text to say so" grep -qx "Nothing found." <(hogwatch doctor)
examine as_alice
same "found by alice" "" "$(found danger warning note)"

# --- what a plain user can't see --------------------------------------------------------------------------------------
mount -o remount,hidepid=2 /proc
systemctl stop "$GUARD"
examine as_alice
mount -o remount,hidepid=0 /proc
same "not seen by alice" "other users' processes /run/hogwatch/lock" "$(jq -r '.unseen[].what' "$LAB/doctor.json" | xargs -d '\n')"
same "found by alice, who can't see the lock" "" "$(found danger warning note)"

# --- faults, many at once --------------------------------------------------------------------------------------------
systemctl --quiet disable "$GUARD"
unit_setting "$GUARD" <<UNIT
[Service]
LimitMEMLOCK=64K
CapabilityBoundingSet=~CAP_IPC_LOCK
UNIT
start_guard
echo 0 > "/proc/$(guard_pid)/oom_score_adj"
earlyoom_control --dryrun
modprobe zram
echo 6G > /sys/block/zram0/disksize
mkswap -q /dev/zram0
swapon -p 1 /dev/zram0
mkswap -q "$DISK"
swapon -p 2 "$DISK"
systemctl set-property --runtime user-1000.slice MemoryMax=infinity MemoryHigh=1G
systemctl set-property --runtime system.slice MemoryMin=0
oomd_control
setsid systemd-run --quiet --scope --unit="docker-$ID.scope" sleep 600 &
hog down -p Restart=on-failure -p RemainAfterExit=no --size 150
hog many -p Restart=always -p RemainAfterExit=no -p MemoryMax=64G --size 150
for i in 1 2 3 4; do in_cell "/sys/fs/cgroup/system.slice/hog-many.service" hog --size 1; done
hog one -p MemoryMax=1200M --size 1
hog two -p MemoryMax=1200M --size 1
sysctl -q -w vm.swappiness=0 vm.overcommit_memory=1 vm.min_free_kbytes=204800 vm.panic_on_oom=1 \
  vm.oom_kill_allocating_task=1 kernel.sysrq=0
mkdir -p "$LAB/full"
mount -t tmpfs -o size=100% full "$LAB/full"
planted="cap-swaps cap-void caps-exceed-memory container-uncapped guard-killable guard-not-enabled guard-not-locked \
livelock-band min-free-kbytes oom-kill-allocating-task oomd-blind overcommit-always panic-on-oom second-guard \
service-stays-down service-stops-whole swappiness-zero sysrq-off tmpfs-oversized user-uncapped way-in-exposed \
zram-after-disk zram-oversized"
planted=$(xargs -n 1 <<< "$planted" | sort | xargs)
# Units start, and grow, in their own time.
all() { examine; [[ $(found danger warning note) == "$planted" ]]; }
soon all || same "what was planted, found" "$planted" "$(found danger warning note)"
same "exit status" 1 "$STATUS"
note "planted and found: $(jq -r '[.findings[].id] | unique | length' "$LAB/doctor.json") faults"
