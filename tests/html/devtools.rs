//! Drives a headless Chromium by its DevTools protocol over a pair of pipes (`--remote-debugging-pipe`): JSON messages, each
//! ended by a NUL byte. <https://chromedevtools.github.io/devtools-protocol/>

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use serde_json::{Value as Json, json};

/// Names under which distributions ship it; the first is Debian's.
const NAMES: [&str; 2] = ["chromium", "chromium-browser"];

/// It reads commands from descriptor 3 and answers on 4, so the shell puts its stdin and stdout there. A process group of
/// its own lets all of its helpers be ended at once.
const START: &str = "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null";

/// `--no-sandbox` because tests may run as root; the rest keeps it from the network and from asking questions.
const FLAGS: [&str; 11] = [
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
];

/// A busy machine starts a browser in seconds; this long means that it never will.
const PATIENCE: Duration = Duration::from_secs(90);

/// A running browser with one page.
pub struct Browser {
    child: Child,
    commands: ChildStdin,
    messages: Receiver<Json>,
    session: Json,
    last_id: u64,
    /// What the page complained of: messages of the console and of the browser about it, exceptions.
    pub complaints: Vec<String>,
    _profile: tempfile::TempDir,
}

/// Where the browser is.
pub fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    NAMES
        .iter()
        .flat_map(|name| std::env::split_paths(&path).map(move |dir| dir.join(name)))
        .find(|file| file.is_file())
}

impl Browser {
    pub fn start(program: &Path) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut child = Command::new("sh")
            .args(["-c", START, "sh"])
            .arg(program)
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            // It is ended without asking: what it leaves behind goes with the profile.
            .env("TMPDIR", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let commands = child.stdin.take().unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let (sender, messages) = mpsc::channel();
        std::thread::spawn(move || {
            let mut message = Vec::new();
            while answers.read_until(0, &mut message).is_ok_and(|n| n > 0) {
                message.pop();
                if sender.send(serde_json::from_slice(&message).unwrap()).is_err() {
                    return;
                }
                message.clear();
            }
        });
        let mut browser = Self {
            child,
            commands,
            messages,
            session: Json::Null,
            last_id: 0,
            complaints: Vec::new(),
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", &json!({"url": "about:blank"}))["targetId"].clone();
        let attached = browser.call("Target.attachToTarget", &json!({"targetId": target, "flatten": true}));
        browser.session = attached["sessionId"].clone();
        for domain in ["Page", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        browser
    }

    /// Sends a command and waits for its result; what the page says meanwhile is kept.
    pub fn call(&mut self, method: &str, params: &Json) -> Json {
        self.last_id += 1;
        let mut command = json!({"id": self.last_id, "method": method, "params": params});
        if !self.session.is_null() {
            command["sessionId"] = self.session.clone();
        }
        write!(self.commands, "{command}\0").unwrap();
        loop {
            let message = self.next(method);
            if message["id"] == self.last_id {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
        }
    }

    /// Waits for an event of the page.
    pub fn wait_for(&mut self, event: &str) {
        while self.next(event)["method"] != event {}
    }

    fn next(&mut self, for_what: &str) -> Json {
        let message = self
            .messages
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|e| panic!("the browser says nothing more ({e}), waiting for {for_what}"));
        if matches!(
            message["method"].as_str(),
            Some("Log.entryAdded" | "Runtime.consoleAPICalled" | "Runtime.exceptionThrown")
        ) {
            self.complaints.push(message["params"].to_string());
        }
        message
    }

    /// Loads a file and waits until it is all there.
    pub fn open(&mut self, file: &Path) {
        let result = self.call("Page.navigate", &json!({"url": format!("file://{}", file.display())}));
        assert!(result["errorText"].is_null(), "{}", result["errorText"]);
        self.wait_for("Page.loadEventFired");
    }

    /// The value of an expression in the page.
    pub fn evaluate(&mut self, expression: &str) -> Json {
        let result = self.call("Runtime.evaluate", &json!({"expression": expression, "returnByValue": true}));
        assert!(result["exceptionDetails"].is_null(), "{expression}: {}", result["exceptionDetails"]);
        result["result"]["value"].clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The whole group: it is the shell's, which became the browser, and nobody else is in it.
        if let Ok(group) = i32::try_from(self.child.id()) {
            let _ = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(group), nix::sys::signal::Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
}
