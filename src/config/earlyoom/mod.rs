//! From earlyoom's options to our TOML: what has an equal is written as such, what has none is said in a comment.

mod ere;
mod options;
mod words;

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use super::files;
use super::format::quote;
use super::pattern::{Pattern, Subject};
use super::problem::{Bad, Error, Problem, escape, quoted};
use super::units::{self, Amount};
use options::Given;

/// What earlyoom does without `-m` and `-s`: SIGTERM and SIGKILL, in percent.
const DEFAULT_PERCENTS: (f64, f64) = (10.0, 5.0);

const NAME_FILE_OR_OPTIONS: &str = "name the file that sets EARLYOOM_ARGS, or give earlyoom's options themselves";

/// The journal takes no state line more often than this, in seconds.
const MIN_REPORT_SECONDS: f64 = 1.0;

/// earlyoom's options in our words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// A configuration file, with comments.
    pub toml: String,
    /// Options that have an equal but could not be translated, each with the reason, as `--avoid "(x": unclosed group`.
    pub not_translated: Vec<String>,
}

/// Translates `EARLYOOM_ARGS` of an environment file such as `/etc/default/earlyoom`.
///
/// # Errors
/// When the file can't be read, sets no `EARLYOOM_ARGS`, or sets options that earlyoom would refuse.
pub fn import_file(file: &Path) -> Result<Import, Error> {
    let source = files::read(file).map_err(|mut problem| {
        if let Ok(false) = file.try_exists() {
            problem.help = Some(NAME_FILE_OR_OPTIONS.to_owned());
        }
        problem
    })?;
    let wrong = |bad| Error::from(Problem::whole_file(file, bad));
    let Some(line) = words::variable(&source.text) else {
        return Err(wrong(Bad::new("it has no line EARLYOOM_ARGS=...", NAME_FILE_OR_OPTIONS)));
    };
    let from = format!("{}: EARLYOOM_ARGS", escape(&file.to_string_lossy()));
    import(&words::split(&line), &from).map_err(wrong)
}

/// Translates earlyoom's options: one argument that holds them all, as in `EARLYOOM_ARGS`, or one argument each.
///
/// # Errors
/// When earlyoom would refuse them.
pub fn import_args(args: &[String]) -> Result<Import, Bad> {
    let words = match args {
        [line] => words::split(line.strip_prefix("EARLYOOM_ARGS=").unwrap_or(line)),
        words => words.iter().map(|text| words::Word { text: text.clone(), quoted: false }).collect(),
    };
    import(&words, "the options given")
}

fn import(words: &[words::Word], from: &str) -> Result<Import, Bad> {
    let given = options::parse(words)?;
    let mut out = Output::default();
    memory(&given, &mut out)?;
    swap(&given, &mut out)?;
    victim(&given, &mut out);
    escalation(&mut out);
    hooks(&given, &mut out);
    journal(&given, &mut out)?;
    without_equal(&given, &mut out);
    let line: Vec<String> = words.iter().map(|w| escape(&w.text)).collect();
    let toml = format!("# translated from {from}: {}\n{}", line.join(" "), out.text);
    Ok(Import { toml, not_translated: out.not_translated })
}

#[derive(Default)]
struct Output {
    text: String,
    not_translated: Vec<String>,
}

impl Output {
    fn section(&mut self, name: &str) {
        _ = writeln!(self.text, "\n[{name}]");
    }

    fn key(&mut self, name: &str, value: &str) {
        _ = writeln!(self.text, "{name} = {value}");
    }

    fn note(&mut self, text: &str) {
        _ = writeln!(self.text, "# {}", escape(text));
    }
}

/// The value of an option given once or more: the last one counts.
fn last<'g>(given: &'g [Given], name: &str) -> Option<&'g Given> {
    given.iter().rev().find(|g| g.name == name)
}

/// `-m` and `-M`.
fn memory(given: &[Given], out: &mut Output) -> Result<(), Bad> {
    out.section("memory");
    let (term, kill) = match thresholds(given, "m", "M", 99.0, out)? {
        Some(pair) => pair,
        None => {
            out.note("earlyoom's default, as no -m was given");
            (Amount::Percent(DEFAULT_PERCENTS.0), Amount::Percent(DEFAULT_PERCENTS.1))
        }
    };
    out.key("term", &quote(&term.to_string()));
    out.key("kill", &quote(&kill.to_string()));
    out.note("earlyoom since 1.8 counts in percent of MemAvailable + AnonPages");
    out.key("percent_of", "\"user\"");
    Ok(())
}

/// `-s` and `-S`: earlyoom acts only when swap is low too.
fn swap(given: &[Given], out: &mut Output) -> Result<(), Bad> {
    const ALL: Amount = Amount::Percent(100.0);
    out.section("swap");
    let (term, kill) = match thresholds(given, "s", "S", 100.0, out)? {
        Some((ALL, ALL)) => {
            out.note("-s 100,100: swap does not count");
            out.key("mode", "\"ignore\"");
            return Ok(());
        }
        Some(pair) => pair,
        None => {
            out.note("earlyoom's default, as no -s was given: it acts only when swap is low too;");
            out.note("mode = \"ignore\", the default of hogwatch, acts in time on machines with much swap");
            (Amount::Percent(DEFAULT_PERCENTS.0), Amount::Percent(DEFAULT_PERCENTS.1))
        }
    };
    out.key("mode", "\"and\"");
    out.key("term", &quote(&term.to_string()));
    out.key("kill", &quote(&kill.to_string()));
    Ok(())
}

/// The two thresholds given in percent or in KiB; none when neither option was given.
fn thresholds(
    given: &[Given],
    percent: &str,
    size: &str,
    most: f64,
    out: &mut Output,
) -> Result<Option<(Amount, Amount)>, Bad> {
    let percents = last(given, percent).map(|g| tuple(g, most)).transpose()?;
    let sizes = last(given, size).map(|g| tuple(g, f64::MAX)).transpose()?;
    match (percents, sizes) {
        (Some((term, kill)), None) => Ok(Some((Amount::Percent(term), Amount::Percent(kill)))),
        (percents, Some((term, kill))) => {
            if let Some((term, kill)) = percents {
                out.note(&format!(
                    "-{percent} {term},{kill} was given too; earlyoom took the smaller of it and -{size}, here -{size} counts"
                ));
            }
            out.note(&format!("-{size} counts in KiB; earlyoom turned it into a percent at its start"));
            Ok(Some((kib(term)?, kib(kill)?)))
        }
        (None, None) => Ok(None),
    }
}

/// Reads `TERM[,KILL]`: KILL is half of TERM when not given, and TERM is at least KILL.
fn tuple(given: &Given, most: f64) -> Result<(f64, f64), Bad> {
    let option = format!("-{} {}", given.name, given.value);
    let wrong = |what: &str| Bad::new(format!("earlyoom refuses {}: {what}", quoted(&option)), "mend the option");
    let number = |text: &str| match text {
        "" => Ok(0.0),
        _ => match text.trim_start().parse::<f64>() {
            Ok(n) if (0.0..=most).contains(&n) => Ok(n),
            Ok(n) if n.is_nan() => Err(wrong("nan is not a threshold (it switched killing off)")),
            Ok(_) => Err(wrong("the number is out of range")),
            Err(_) => Err(wrong("expected NUMBER or NUMBER,NUMBER")),
        },
    };
    let (term, kill) = match given.value.split_once(',') {
        Some((term, kill)) => (number(term)?, number(kill)?),
        None => {
            let term = number(&given.value)?;
            (term, term / 2.0)
        }
    };
    match term.max(kill) {
        0.0 => Err(wrong("both thresholds are zero")),
        term => Ok((rounded(term), rounded(kill))),
    }
}

/// Six digits after the point: more than any threshold needs, fewer than ours may have.
fn rounded(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}

fn kib(number: f64) -> Result<Amount, Bad> {
    units::size(&format!("{number} KiB")).map(Amount::Bytes)
}

/// `--prefer`, `--avoid`, `--ignore`, `--ignore-root-user`, `--sort-by-rss`, `-g`.
fn victim(given: &[Given], out: &mut Output) {
    out.section("victim");
    let mut protect: Vec<String> = regex(given, "ignore", out).into_iter().collect();
    if last(given, "ignore-root-user").is_some() {
        out.note("--ignore-root-user");
        protect.push("user:^root$".to_owned());
    }
    list("protect", &protect, out);
    if let Some(avoid) = regex(given, "avoid", out) {
        out.note("stronger than earlyoom's --avoid (300 points): killed only when nothing else is left");
        list("avoid", &[avoid], out);
    }
    if let Some(prefer) = regex(given, "prefer", out) {
        out.note("stronger than earlyoom's --prefer (300 points): killed before anything else");
        list("prefer", &[prefer], out);
    }
    match last(given, "sort-by-rss") {
        Some(_) => {
            out.note("--sort-by-rss; swap counts here too");
            out.key("order", "\"size\"");
        }
        None => {
            out.note("as earlyoom without --sort-by-rss; \"size\", the default of hogwatch, kills fewer innocents");
            out.key("order", "\"badness\"");
        }
    }
    if last(given, "g").is_some() {
        out.note("-g killed the process group; the cgroup comes nearest: uncomment to kill that as a whole");
        out.note("target = \"cgroup\"");
    }
}

fn list(key: &str, items: &[String], out: &mut Output) {
    if !items.is_empty() {
        let items: Vec<String> = items.iter().map(|i| quote(i)).collect();
        out.key(key, &format!("[{}]", items.join(", ")));
    }
}

/// The regex of an option, translated; what can't be is said in a comment.
fn regex(given: &[Given], option: &str, out: &mut Output) -> Option<String> {
    let given = last(given, option)?;
    let ours = ere::translate(&given.value).map_err(str::to_owned).and_then(as_name);
    out.note(&format!("--{option} {}", given.value));
    if given.quoted {
        out.note("its quotes are dropped here; some set-ups hand them to earlyoom as a part of the regex");
    }
    if let Err(reason) = &ours {
        out.note(&format!("NOT translated, write it by hand: {reason}"));
        out.not_translated.push(escape(&format!("--{option} {}: {reason}", quoted(&given.value))));
    }
    ours.ok()
}

/// A regex that searches the process name, whatever it begins with: `user:` is only a name to earlyoom.
fn as_name(ours: String) -> Result<String, String> {
    let grouped = format!("({ours})");
    match Pattern::parse(&ours) {
        Ok(pattern) if pattern.subject == Subject::Comm => Ok(ours),
        Ok(_) => Ok(grouped),
        Err(bad) if ours.is_empty() => Err(bad.message),
        Err(bad) => match Pattern::parse(&grouped) {
            Ok(_) => Ok(grouped),
            Err(_) => Err(bad.message),
        },
    }
}

fn escalation(out: &mut Output) {
    out.section("escalation");
    out.note("earlyoom sends SIGKILL only when memory falls to kill; hogwatch also when grace has passed");
    out.note("grace = \"10s\"");
}

/// `-P`, `-N`, `-n`.
fn hooks(given: &[Given], out: &mut Output) {
    let (before, after) = (last(given, "P"), last(given, "N"));
    if before.is_some() || after.is_some() {
        out.section("hooks");
        out.note("check which variables the scripts read: earlyoom's were named EARLYOOM_*");
    }
    for (key, hook) in [("before", before), ("after", after)] {
        match hook {
            Some(hook) if hook.value.starts_with('/') => list(key, std::slice::from_ref(&hook.value), out),
            Some(hook) => {
                out.note(&format!("-{} {}: earlyoom ignores a path that does not begin with /", hook.name, hook.value))
            }
            None => {}
        }
    }
    if last(given, "n").is_some() {
        out.section("notify");
        out.key("desktop", "true");
    }
}

/// `-r`.
fn journal(given: &[Given], out: &mut Output) -> Result<(), Bad> {
    let Some(report) = last(given, "r") else {
        return Ok(());
    };
    let seconds = match report.value.trim_start().parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && seconds >= 0.0 => seconds,
        _ => {
            return Err(Bad::new(
                format!("-r {} is not a number of seconds", quoted(&report.value)),
                "write seconds, such as -r 3600; 0 switches the reports off",
            ));
        }
    };
    out.section("journal");
    if seconds == 0.0 {
        out.key("every", "\"0\"");
        return Ok(());
    }
    if seconds < MIN_REPORT_SECONDS {
        out.note(&format!("-r {}: once a second is the most", report.value));
    }
    let every = Duration::try_from_secs_f64(seconds.max(MIN_REPORT_SECONDS)).unwrap_or(units::MAX_DURATION);
    out.key("every", &quote(&units::write_duration(every.min(units::MAX_DURATION))));
    Ok(())
}

/// What is left has no key in the file.
fn without_equal(given: &[Given], out: &mut Output) {
    const NOTES: &[(&str, &str)] = &[
        ("dryrun", "--dryrun: run `hogwatch daemon --dry-run`"),
        ("p", "-p: hogwatch always protects itself; its systemd unit sets the priorities"),
        ("debug", "-d: `hogwatch explain` shows the candidates"),
        ("syslog", "--syslog: hogwatch writes to the journal"),
        ("kernel-oom", "--kernel-oom has no equal: hogwatch kills by itself"),
        ("k", "-k means nothing to earlyoom since 1.2"),
        ("i", "-i means nothing to earlyoom since 1.7"),
        ("v", "-v only prints the version"),
        ("help", "-h only prints the help"),
    ];
    let notes = NOTES.iter().filter(|(name, _)| last(given, name).is_some());
    for (i, (_, note)) in notes.enumerate() {
        if i == 0 {
            out.text.push('\n');
        }
        out.note(note);
    }
}
