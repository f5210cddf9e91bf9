# `hogwatch run` in a real terminal (tmux), in alice's shell: Ctrl-C ends the command and hogwatch with it, Ctrl-Z stops
# both and `fg` continues them, and a shell inside has its own job control.
# suites: bookworm trixie
readonly RUN='hogwatch run --memory 64M --'
runs() { pgrep -fx "$1" > /dev/null; }
runs_not() { ! runs "$1"; }
hogwatch_runs() { pgrep -u alice -x hogwatch > /dev/null; }
hogwatch_gone() { ! hogwatch_runs; }
# in_state LETTERS COMMAND: the state of its process is one of these, as /proc has it.
in_state() { local pid; pid=$(pgrep -fx "$2") && [[ $(ps -o state= -p "$pid") == [$1] ]]; }
# The one that the shell sees: the first.
parent_in_state() { local pid; pid=$(pgrep -u alice -ox hogwatch) && [[ $(ps -o state= -p "$pid") == [$1] ]]; }
expect_running() { wait_for 30 runs "$1" || fail "'$1' does not run: $(screen | grep . | tail -n 12)"; }
expect_over() {
  wait_for 20 runs_not "$1" || fail "'$1' still runs"
  expect_no_runs
}

open_terminal
enter "$RUN sleep 6001"
expect_running 'sleep 6001'
expect "it to be in a scope of its own" grep -q '/hogwatch-run[^/]*\.scope/' "/proc/$(pgrep -fx 'sleep 6001')/cgroup"
press C-c
expect_status 'outer>' 130
expect_over 'sleep 6001'

# The terminal sends SIGINT to both: the command has it once all the same, and may go on.
enter "$RUN bash -c 'trap \"echo caught\" INT; echo begun; sleep 60; sleep 2; exit 5'"
expect_screen '^begun'
expect_running 'sleep 60'
press C-c
expect_screen '^(\^C)?caught'
wait_for 30 hogwatch_gone || fail "the command did not go on after Ctrl-C"
same "how often the command saw one Ctrl-C" 1 "$(screen | grep -cE '^(\^C)?caught')"
expect_status 'outer>' 5

enter "$RUN sleep 6002"
expect_running 'sleep 6002'
press C-z
expect_screen 'Stopped .*hogwatch run'
expect "the command to be stopped" wait_for 20 in_state T 'sleep 6002'
expect "hogwatch to be stopped" wait_for 20 parent_in_state T
enter fg
expect "the command to go on" wait_for 20 in_state SD 'sleep 6002'
expect "hogwatch to go on" wait_for 20 parent_in_state SD
press C-c
expect_status 'outer>' 130
expect_over 'sleep 6002'

enter "$RUN env PS1='inner> ' bash --norc --noprofile"
expect_screen '^inner>'
enter 'sleep 6003'
expect_running 'sleep 6003'
press C-z
expect_screen 'Stopped .*sleep 6003'
expect "only the job inside to be stopped" not parent_in_state T
enter fg
expect "the job inside to go on" wait_for 20 in_state SD 'sleep 6003'
press C-c
expect_status 'inner>' 130
enter 'exit 7'
expect_status 'outer>' 7
expect_over 'bash --norc --noprofile -i'

# As the last one: a terminal that goes away takes the command with it.
enter "$RUN sleep 6004"
expect_running 'sleep 6004'
terminal kill-server
expect_over 'sleep 6004'
