# Stuck cgroups of several shapes side by side, each resolved by the death of its hog alone: the limit on the parent of the
# two; a hog that ignores SIGTERM; swap that is used up; names made to confuse. One hog is protected: it lives, and so does
# everybody in its place.
# suites: bookworm trixie
modprobe zram
echo 192M > /sys/block/zram0/disksize
mkswap -q /dev/zram0
swapon /dev/zram0
config <<TOML
[victim]
protect = ["^sacred$"]
TOML
start_guard
evil=$'evil \r\e[31m"\\HOGWATCH_EVENT=term' long=$(printf 'l%.0s' {1..251})
slice band MemoryHigh=100M MemoryMax=200M MemorySwapMax=0
for name in stubborn protected "$evil" "$long"; do cell "$name" high=60M max=120M swap.max=0; done
cell swapless high=60M max=120M swap.max=16M
expect "the kernel to refuse a line break in a cgroup's name" not mkdir "$CGROUPS/lab-"$'new\nline' 2>/dev/null
# A directory for each shape, and a ticker.
declare -A dir=([parent]=$CGROUPS/band.slice [stubborn]=$CGROUPS/lab-stubborn [protected]=$CGROUPS/lab-protected
  [swapless]=$CGROUPS/lab-swapless [evil]=$CGROUPS/lab-$evil [long]=$CGROUPS/lab-$long)
systemd-run --quiet --scope --unit=hog-server --slice=band.slice "$BIN/load" ticker "$(page parent)" &
for shape in stubborn protected swapless evil long; do in_cell "${dir[$shape]}" load ticker "$(page "$shape")"; done
declare -A victim
wait_for 10 calm parent || fail "the ticker in a scope did not start"
bystanders
# All begin at once: the first is to live still when the last is stuck.
go=(--after "$LAB/progress/go")
hog parent -p Slice=band.slice --size 108 "${go[@]}"
victim[parent]=$(hog_pid parent)
in_cell "${dir[stubborn]}" hog --size 65 --ignore-term "${go[@]}"; victim[stubborn]=$!
in_cell "${dir[protected]}" hog --size 65 --name sacred "${go[@]}"; protected=$!
in_cell "${dir[swapless]}" hog --size 82 --random "${go[@]}"; victim[swapless]=$!
in_cell "${dir[evil]}" hog --size 65 "${go[@]}"; victim[evil]=$!
in_cell "${dir[long]}" hog --size 65 "${go[@]}"; victim[long]=$!
wait_for 10 eval '(( $(pgrep -c "^(hog|sacred)$") == 6 ))' || fail "$(pgrep -c '^(hog|sacred)$') of 6 hogs run"
begin=$(now_ms)
touch "$LAB/progress/go"
onset "${dir[@]}"
note "the last was at its memory.high $(( $(now_ms) - begin )) ms after the first hog began"
expect_throttled "${dir[@]}"
# Each looks for 2 s: side by side, or the first would be dead before the last is asked.
told=()
for shape in parent stubborn evil; do
  foretell "${victim[$shape]}" --cgroup "${dir[$shape]#"$CGROUPS"}" &
  told+=($!)
done
for asked in "${told[@]}"; do wait "$asked" || exit; done
expect_late "${!dir[@]}"
for shape in parent swapless evil long; do expect_gone "${dir[$shape]}" 15 "${victim[$shape]}" "the hog of shape $shape"; done
expect_gone "${dir[stubborn]}" 22 "${victim[stubborn]}" "the hog that ignores SIGTERM"
for shape in parent stubborn swapless evil long; do
  wait_for 4 calm "$shape" || fail "the ticker of shape $shape is still late: $(late "$shape") ms"
done
wait_for 20 entry refused || fail "no 'refused' entry for the protected hog"
same "cgroup and limit of the refusal" "/lab-protected $((60 << 20))" "$(field refused CGROUP) $(field refused LIMIT_BYTES)"
expect "the refusal to name the protected hog" logged "sacred" HOGWATCH_EVENT=refused
same "refusals" 1 "$(count refused)"
expect_told "${dir[parent]}" throttled $((100 << 20)) "${victim[parent]}"
expect_told "${dir[stubborn]}" throttled $((60 << 20)) "${victim[stubborn]}" term kill exited
expect_ended "${victim[stubborn]}" SIGKILL
expect_ended "${victim[swapless]}" SIGTERM
expect "the protected hog to live" alive "$protected"
expect_signalled "${victim[@]}"
expect_no_kernel_oom
expect_bystanders
