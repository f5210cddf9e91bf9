//! On a real terminal: tmux, whose screen can be read and whose keys can be pressed, with an interactive shell in it.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::running::{LONGEST, program, wait_until};

/// A shell on a terminal of its own. Ended with it.
struct Terminal {
    dir: TempDir,
}

impl Terminal {
    fn start() -> Self {
        let terminal = Terminal { dir: tempfile::tempdir().expect("a directory") };
        let mut command = terminal.command();
        command.args(["-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "40"]);
        command.arg("exec env PS1='$ ' bash --norc --noprofile -i").env("H", program());
        let out = command.output().expect("tmux is needed for this test (Debian's package: tmux)");
        assert!(out.status.success(), "tmux: {}", String::from_utf8_lossy(&out.stderr));
        terminal.wait_for("$");
        terminal.type_line("r() { \"$H\" run --memory 100M \"$@\"; }");
        terminal
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("tmux")
    }

    fn command(&self) -> Command {
        let mut command = Command::new("tmux");
        command.arg("-u").arg("-S").arg(self.socket()).env_remove("TMUX").env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        command
    }

    fn tmux(&self, arguments: &[&str]) -> Output {
        let out = self.command().args(arguments).output().expect("run tmux");
        assert!(out.status.success(), "tmux {arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
        out
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&self.tmux(&["capture-pane", "-p"]).stdout).into_owned()
    }

    /// What has left the screen at its top, too.
    fn history(&self) -> String {
        String::from_utf8_lossy(&self.tmux(&["capture-pane", "-p", "-S", "-"]).stdout).into_owned()
    }

    #[track_caller]
    fn wait_for(&self, text: &str) {
        let mut screen = String::new();
        let start = std::time::Instant::now();
        while start.elapsed() < LONGEST {
            screen = self.screen();
            if screen.contains(text) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("{text:?} was never seen, but\n{screen}");
    }

    fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    fn type_line(&self, line: &str) {
        self.tmux(&["send-keys", "-l", line]);
        self.press("Enter");
    }

    /// Who has the terminal's foreground, by name.
    #[track_caller]
    fn wait_for_foreground(&self, name: &str) {
        wait_until(&format!("{name} in the foreground"), || {
            let out = self.tmux(&["display-message", "-p", "#{pane_current_command}"]).stdout;
            String::from_utf8_lossy(&out).trim() == name
        });
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.command().arg("kill-server").output();
    }
}

#[test]
fn ctrl_c_ends_the_command() {
    let terminal = Terminal::start();
    terminal.type_line("r sh -c 'echo be''gun; exec sleep 60'");
    terminal.wait_for("begun");
    terminal.press("C-c");
    terminal.type_line("echo status=$?");
    terminal.wait_for("status=130");
}

/// A command may catch Ctrl-C, and gets it once.
#[test]
fn ctrl_c_comes_once() {
    let terminal = Terminal::start();
    terminal.type_line("r bash -c 'n=0; trap \"n=\\$((n+1))\" INT; echo be''gun; until [ $n -gt 0 ]; do sleep 0.1; done; sleep 0.5; echo got=$n'");
    terminal.wait_for("begun");
    terminal.press("C-c");
    terminal.wait_for("got=1");
    terminal.type_line("echo status=$?");
    terminal.wait_for("status=0");
}

/// A script ends at Ctrl-C, when the command it runs ended by it.
#[test]
fn ctrl_c_ends_a_script() {
    let terminal = Terminal::start();
    terminal.type_line("bash -c '\"$H\" run --memory 100M bash -c \"echo be\"\"gun; exec sleep 60\"; echo went-''on'");
    terminal.wait_for("begun");
    terminal.press("C-c");
    terminal.type_line("echo status=$?");
    terminal.wait_for("status=130");
    assert!(!terminal.screen().contains("went-on"), "{}", terminal.screen());
}

#[test]
fn ctrl_z_stops_it_and_fg_goes_on() {
    let terminal = Terminal::start();
    for round in ["one", "two"] {
        terminal.type_line("r cat");
        terminal.wait_for_foreground("hogwatch");
        terminal.type_line(&format!("before-{round}"));
        terminal.wait_for(&format!("before-{round}\nbefore-{round}"));
        terminal.press("C-z");
        terminal.wait_for("Stopped");
        terminal.type_line("jobs; echo shell-''again");
        terminal.wait_for("shell-again");
        terminal.type_line("fg");
        terminal.wait_for_foreground("hogwatch");
        terminal.type_line(&format!("after-{round}"));
        terminal.wait_for(&format!("after-{round}\nafter-{round}"));
        terminal.press("C-d");
        terminal.type_line("echo status=$? clear; clear");
        terminal.wait_for_foreground("bash");
    }
    terminal.type_line("r true; echo status=$?");
    terminal.wait_for("status=0");
}

/// A shell with job control of its own inside.
#[test]
fn an_interactive_shell_runs_inside() {
    let terminal = Terminal::start();
    terminal.type_line("r env PS1='in> ' bash --norc --noprofile -i");
    terminal.wait_for("in>");
    terminal.type_line("sleep 60");
    terminal.wait_for_foreground("sleep");
    terminal.press("C-c");
    terminal.type_line("echo inner=$?");
    terminal.wait_for("inner=130");
    terminal.type_line("sleep 61");
    terminal.wait_for_foreground("sleep");
    terminal.press("C-z");
    terminal.wait_for("Stopped");
    terminal.type_line("kill %1; fg; echo ended=$?");
    terminal.wait_for("ended=143");
    terminal.type_line("exit 7");
    terminal.type_line("echo outer=$?");
    terminal.wait_for("outer=7");
}

/// In the background it is not stopped by what it says, and is continued and ended by the shell's own means.
#[test]
fn a_job_in_the_background() {
    let terminal = Terminal::start();
    // It wants to read. What became of a job the shell tells at its next prompt.
    let told = |what: &str| {
        wait_until(what, || {
            terminal.press("Enter");
            terminal.history().contains(what)
        });
    };
    terminal.type_line("stty tostop; \"$H\" run --memory 100M cat &");
    told("Stopped");
    terminal.type_line("kill %1");
    told("Exit 143");
}

/// The time goes on while it is stopped.
#[test]
fn the_time_is_up_for_a_stopped_job() {
    let terminal = Terminal::start();
    terminal.type_line("r --timeout 12s sh -c 'echo be''gun; exec sleep 60'");
    terminal.wait_for("begun");
    terminal.press("C-z");
    terminal.wait_for("Stopped");
    terminal.wait_for("timed out after 12s");
    terminal.type_line("wait %1; echo status=$?");
    terminal.wait_for("status=124");
}

/// `suspend` of an inner shell is SIGSTOP: the outer shell has its terminal back, and `fg` goes on.
#[test]
fn an_inner_shell_can_be_suspended() {
    let terminal = Terminal::start();
    terminal.type_line("r env PS1='in> ' bash --norc --noprofile -i");
    terminal.wait_for("in>");
    terminal.type_line("suspend");
    terminal.wait_for("Stopped");
    terminal.type_line("echo shell-''again");
    terminal.wait_for("shell-again");
    terminal.type_line("fg");
    terminal.type_line("echo inner-''again; exit 7");
    terminal.wait_for("inner-again");
    terminal.type_line("echo outer=$?");
    terminal.wait_for("outer=7");
}
