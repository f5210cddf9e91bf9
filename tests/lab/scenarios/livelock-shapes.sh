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
soon calm parent || fail "the ticker in a scope did not start"
bystanders
# All go on at once: the first is to live still when the last is stuck.
hog hparent -p Slice=band.slice --first 50 --size 108
victim[parent]=$(hog_pid hparent)
cell_hog hstubborn "${dir[stubborn]}" --first 30 --size 65 --ignore-term; victim[stubborn]=$!
cell_hog hprotected "${dir[protected]}" --first 30 --size 65 --name sacred; protected=$!
cell_hog hswapless "${dir[swapless]}" --first 30 --size 82 --random; victim[swapless]=$!
cell_hog hevil "${dir[evil]}" --first 30 --size 65; victim[evil]=$!
cell_hog hlong "${dir[long]}" --first 30 --size 65; victim[long]=$!
for shape in "${!dir[@]}"; do hog_at "h$shape" paused; done
for shape in parent stubborn evil; do foretell "${victim[$shape]}" --cgroup "${dir[$shape]#"$CGROUPS"}"; done
begin=$(now_ms)
kill -USR1 "${victim[@]}" "$protected"
onset "${dir[@]}"
note "the last was at its memory.high $(( $(now_ms) - begin )) ms after the first hog began"
expect_throttled "${dir[@]}"
expect_late "${!dir[@]}"
for shape in parent swapless evil long; do expect_gone "${dir[$shape]}" 15 "${victim[$shape]}" "the hog of shape $shape"; done
expect_gone "${dir[stubborn]}" 22 "${victim[stubborn]}" "the hog that ignores SIGTERM"
for shape in parent stubborn swapless evil long; do
  soon calm "$shape" || fail "the ticker of shape $shape is still late: $(late "$shape") ms"
done
soon entry refused || fail "no 'refused' entry for the protected hog"
same "cgroup and limit of the refusal" "/lab-protected $((60 << 20))" "$(field refused CGROUP) $(field refused LIMIT_BYTES)"
expect "the refusal to name the protected hog" logged "sacred" HOGWATCH_EVENT=refused
same "cgroups of refusals, which are repeated once a minute" /lab-protected "$(entries refused | jq -r .HOGWATCH_CGROUP | sort -u | xargs -d '\n')"
expect_told "${dir[parent]}" throttled $((100 << 20)) "${victim[parent]}"
expect_told "${dir[stubborn]}" throttled $((60 << 20)) "${victim[stubborn]}" term kill exited
expect_ended "${victim[stubborn]}" SIGKILL
expect_ended "${victim[swapless]}" SIGTERM
expect "the protected hog to live" alive "$protected"
expect_signalled "${victim[@]}"
expect_no_kernel_oom
expect_bystanders
