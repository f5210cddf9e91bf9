//! Patterns that are well-formed, but can't be what was meant: said as a note, never refused.

use regex_automata::util::syntax;

use super::Config;
use super::pattern::{Pattern, Subject, compile, syntax_config};
use super::problem::quoted;

/// The longest process name in bytes: TASK_COMM_LEN of the kernel less its NUL, proc_pid_comm(5).
const MAX_COMM: usize = 15;

/// What the names of systemd's units end in, of those that hold processes.
const UNIT_SUFFIXES: &[&str] = &[".service", ".scope", ".slice"];

/// Why a pattern is probably not what its writer meant, and what to write instead; none when there is nothing to say.
pub(super) fn doubt(pattern: &Pattern) -> Option<String> {
    let Pattern { text, subject, regex } = pattern;
    let shown = quoted(text);
    if matches_everything(regex) {
        return Some(format!("{shown} matches every process"));
    }
    if *subject != Subject::Comm {
        return None;
    }
    if needs_slash(regex) {
        return Some(format!(
            "{shown} is searched in the process name, which is no path: for the program's path write {}",
            quoted(&format!("exe:{regex}"))
        ));
    }
    if names_unit(regex) {
        return Some(format!(
            "{shown} is searched in the process name, not in that of the unit: for the unit write {}",
            quoted(&format!("unit:{regex}"))
        ));
    }
    let shortest = syntax::parse_with(regex, &syntax_config()).ok()?.properties().minimum_len()?;
    (shortest > MAX_COMM).then(|| {
        format!(
            "{shown} never matches: process names are cut at {MAX_COMM} bytes; shorten it, or begin it with exe: or cmdline:"
        )
    })
}

/// A section, a key in it, and what is odd about its value.
pub(super) type Doubt = (&'static str, &'static str, String);

/// What was set without any effect, because another key of the section is missing. `is_set` says whether a key was set.
pub(super) fn sections(config: &Config, is_set: impl Fn(&'static str, &'static str) -> bool) -> Vec<Doubt> {
    let mut doubts: Vec<Doubt> = Vec::new();
    let Config { cgroup_limits, pressure, metrics, .. } = config;
    let off = "has no effect: the section's \"enabled\" is false";
    let nowhere = "has no effect: no cgroup is named in the section's \"cgroups\"";
    match cgroup_limits.enabled {
        false if is_set("cgroup_limits", "cgroups") => doubts.push(("cgroup_limits", "cgroups", off.to_owned())),
        true if cgroup_limits.cgroups.is_empty() => doubts.push(("cgroup_limits", "enabled", nowhere.to_owned())),
        _ => {}
    }
    match pressure.enabled {
        false if pressure.managed_oom => doubts.push(("pressure", "managed_oom", off.to_owned())),
        false if is_set("pressure", "cgroups") => doubts.push(("pressure", "cgroups", off.to_owned())),
        true if pressure.cgroups.is_empty() && !pressure.managed_oom => {
            doubts.push(("pressure", "enabled", format!("{nowhere}, and managed_oom is false")));
        }
        _ => {}
    }
    if let Some(path) = &metrics.textfile
        && path.extension().is_none_or(|extension| extension != "prom")
    {
        let unread = "node_exporter reads only files whose name ends in .prom";
        doubts.push(("metrics", "textfile", format!("{}: {unread}", quoted(&path.to_string_lossy()))));
    }
    doubts
}

/// Why a glob of cgroups probably matches nothing.
pub(super) fn glob(glob: &str) -> Option<String> {
    let shown = quoted(glob);
    let bare = glob.trim_start_matches('/');
    if let Some(rest) = bare.strip_prefix("sys/fs/cgroup/") {
        return Some(format!("{shown} never matches: paths begin below the cgroup root; write {}", quoted(rest)));
    }
    let is_unit = UNIT_SUFFIXES.iter().any(|suffix| bare.ends_with(suffix));
    (is_unit && !bare.contains('/') && !bare.contains('*') && !bare.ends_with(".slice")).then(|| {
        format!(
            "{shown} matches at the topmost level only, where no unit but slices lives; write {}",
            quoted(&format!("**/{bare}"))
        )
    })
}

/// Whether it matches the empty string and any other too; `^$` matches only the first.
fn matches_everything(regex: &str) -> bool {
    let every_byte: Vec<u8> = (1..=u8::MAX).collect();
    compile(regex).is_ok_and(|compiled| compiled.is_match("") && compiled.is_match(&every_byte))
}

/// Whether every match holds a slash, as far as that is plain to see: `(^|/)x` matches without one.
fn needs_slash(regex: &str) -> bool {
    regex.contains('/') && !regex.contains(['|', '?', '[']) && !regex.contains("/*") && !regex.contains("/{")
}

fn names_unit(regex: &str) -> bool {
    let regex = regex.strip_suffix('$').unwrap_or(regex);
    UNIT_SUFFIXES.iter().any(|suffix| regex.ends_with(suffix))
}
