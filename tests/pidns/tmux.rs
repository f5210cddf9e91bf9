//! A real terminal: tmux, whose screen can be read and whose keys can be pressed.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::guard::{at_home, program};
use crate::hog::wait_for;
use crate::namespace::Inside;

/// Runs the view, then says how it ended and whether the terminal's modes are what they were; `cat` keeps the screen.
const SCRIPT: &str = r#"before=$(stty -g); "$0" status --watch; echo "left with $?"
    [ "$before" = "$(stty -g)" ] && echo "modes restored"; exec cat"#;

/// `hogwatch status --watch` on a terminal of its own.
pub struct View<'a> {
    inside: &'a Inside,
    socket: PathBuf,
}

impl<'a> View<'a> {
    /// Starts it on a terminal of 80 by 24, with these variables; `shell` is run before it by the same shell.
    pub fn start(inside: &'a Inside, variables: &[(&str, &str)], shell: &str) -> Self {
        // A server of its own: one that is just ending would take the new terminal with it.
        let servers = fs::read_dir(inside.file("")).expect("the scratch directory").count();
        let view = View { inside, socket: inside.file(&format!("tmux-{servers}")) };
        let mut command = view.command();
        command.args(["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "sh", "-c"]);
        command.arg(format!("{shell}\n{SCRIPT}")).arg(program());
        command.env("LC_ALL", "C.UTF-8").envs(variables.iter().copied());
        let out = command.output().expect("tmux is needed for this test (Debian's package: tmux)");
        assert!(out.status.success(), "tmux: {}", String::from_utf8_lossy(&out.stderr));
        view
    }

    fn command(&self) -> Command {
        let mut command = Command::new("tmux");
        at_home(self.inside, &mut command);
        command.arg("-u").arg("-S").arg(&self.socket).env_remove("TMUX").env_remove("NO_COLOR").stdin(Stdio::null());
        command
    }

    fn tmux(&self, arguments: &[&str]) -> Output {
        let out = self.command().args(arguments).output().expect("run tmux");
        assert!(out.status.success(), "tmux {arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
        out
    }

    /// What is on the screen, a line a row.
    pub fn screen(&self) -> String {
        String::from_utf8(self.tmux(&["capture-pane", "-p"]).stdout).expect("a screen of characters")
    }

    /// The same with its escape sequences.
    pub fn raw_screen(&self) -> String {
        String::from_utf8(self.tmux(&["capture-pane", "-p", "-e"]).stdout).expect("a screen of characters")
    }

    /// The screen, once it is as `wanted`.
    pub fn wait(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let mut screen = String::new();
        let seen = wait_for(|| {
            screen = self.screen();
            wanted(&screen)
        });
        assert!(seen, "never seen: {what}; but\n{screen}");
        screen
    }

    /// The screen, once all of these are on it.
    pub fn wait_for(&self, texts: &[&str]) -> String {
        self.wait(&texts.join(", "), |screen| texts.iter().all(|text| screen.contains(text)))
    }

    /// Presses keys, by tmux's names.
    pub fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// Gives the terminal another size.
    pub fn resize(&self, width: u16, height: u16) {
        self.tmux(&["resize-window", "-x", &width.to_string(), "-y", &height.to_string()]);
    }

    /// What tmux knows of the terminal, by its format.
    pub fn about(&self, format: &str) -> String {
        String::from_utf8_lossy(&self.tmux(&["display-message", "-p", format]).stdout).trim().to_owned()
    }

    /// Takes the terminal away.
    pub fn hang_up(&self) {
        self.tmux(&["kill-server"]);
    }

    /// The pid of the view, while it runs.
    pub fn pid(&self) -> Option<i32> {
        let arguments = [program().as_os_str().as_bytes(), b"status", b"--watch", b""].join(&0);
        let pids =
            fs::read_dir("/proc").expect("/proc").filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let mut ours =
            pids.filter(|pid: &i32| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|cmdline| cmdline == arguments));
        ours.next()
    }

    /// Checks that the view has ended with `status` and left the terminal as it was.
    pub fn assert_left_with(&self, status: u8) {
        let screen = self.wait_for(&[&format!("left with {status}\n"), "modes restored"]);
        assert!(!screen.contains("next victim"), "the view's own screen is gone: {screen}");
        assert_eq!(self.about("#{alternate_on} #{cursor_flag}"), "0 1", "the usual screen, and the cursor on it");
        assert_eq!(self.pid(), None);
    }
}
