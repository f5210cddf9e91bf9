//! Which cgroups the livelock guard works on, and on what terms: the globs of `[livelock]`.

use crate::config::{Livelock, LivelockAction};

use super::Terms;

/// What holds for one cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// How long is long enough.
    pub terms: Terms,
    /// What is done when it is stuck.
    pub action: LivelockAction,
}

/// What `[livelock]` says about the cgroup at `path` (below the cgroup root, with or without the leading slash): the first
/// override that matches wins over the section; `None` when it is none of our business.
#[must_use]
pub fn scope(config: &Livelock, path: &[u8], page_size: u64) -> Option<Scope> {
    let matches = |globs: &[String]| globs.iter().any(|glob| glob_matches(glob.as_bytes(), path));
    if !config.enabled {
        return None;
    }
    let over = config.overrides.iter().find(|over| matches(&over.cgroups));
    if over.is_none() && !matches(&config.cgroups) {
        return None;
    }
    let terms = Terms {
        after: over.and_then(|over| over.after).unwrap_or(config.after),
        thrash_after: over.and_then(|over| over.thrash_after).unwrap_or(config.thrash_after),
        page_size,
    };
    Some(Scope { terms, action: over.and_then(|over| over.action).unwrap_or(config.action) })
}

/// Whether `path` matches `glob`: `*` stands for anything within a level, `**` for anything across levels; `**/` for any
/// number of levels, none included. Takes no memory, and no more steps than the square of the path's length for each byte
/// of the glob.
#[must_use]
pub fn glob_matches(glob: &[u8], path: &[u8]) -> bool {
    let mut path = path.strip_prefix(b"/").unwrap_or(path);
    let mut glob = glob.strip_prefix(b"/").unwrap_or(glob);
    // Where to go on when what follows a star does not match: the glob after it, and the path it has not taken yet. What
    // an earlier star of the same sort took need not be tried again: a later one can take it as well.
    let mut within: Option<(&[u8], &[u8])> = None;
    let mut across: Option<(&[u8], &[u8], bool)> = None;
    loop {
        if let Some(rest) = glob.strip_prefix(b"**/") {
            (glob, across, within) = (rest, Some((rest, path, true)), None);
        } else if let Some(rest) = glob.strip_prefix(b"**") {
            (glob, across, within) = (rest, Some((rest, path, false)), None);
        } else if let Some(rest) = glob.strip_prefix(b"*") {
            (glob, within) = (rest, Some((rest, path)));
        } else if let (Some((g, rest)), Some((p, after))) = (glob.split_first(), path.split_first())
            && g == p
        {
            (glob, path) = (rest, after);
        } else if glob.is_empty() && path.is_empty() {
            return true;
        } else if let Some((rest, [first, after @ ..])) = within
            && *first != b'/'
        {
            (glob, path, within) = (rest, after, Some((rest, after)));
        } else {
            let Some((rest, untaken, levels)) = across else { return false };
            let taken = if levels { untaken.iter().position(|b| *b == b'/') } else { Some(0) };
            let Some(after) = taken.and_then(|at| untaken.get(at + 1..)) else { return false };
            (glob, path, across, within) = (rest, after, Some((rest, after, levels)), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::LivelockOverride;

    #[test]
    fn globs_stay_within_a_level_or_cross_levels() {
        for (glob, path, expected) in [
            ("**", "", true),
            ("**", "/a/b", true),
            ("*", "a", true),
            ("*", "a/b", false),
            ("a/*", "a/b", true),
            ("a/*", "a/b/c", false),
            ("a/*", "a", false),
            ("a/**", "a/b/c", true),
            ("a/**", "a", false),
            ("/a/*.service", "/a/x.service", true),
            ("**/*.service", "x.service", true),
            ("**/*.service", "a/b/x.service", true),
            ("**/*.service", "a/b/x.service/c", false),
            ("**/b/*", "a/b/c/b/d", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abc/de", false),
            ("a**e", "abc/de", true),
            ("**a*/b", "xa/ya/b", true),
            ("user.slice/user-*.slice/**", "user.slice/user-1000.slice/user@1000.service/app.slice", true),
            ("x", "", false),
            ("", "", true),
            ("**/", "a", false),
        ] {
            assert_eq!(glob_matches(glob.as_bytes(), path.as_bytes()), expected, "{glob} {path}");
        }
    }

    #[test]
    fn hostile_globs_end_soon() {
        let path = [b'a'; 4096];
        assert!(!glob_matches(b"*a*a*a*a*a*a*a*a*b", &path));
        assert!(!glob_matches("**a".repeat(40).replace("a**", "a*b**").as_bytes(), &path[..255]));
    }

    #[test]
    fn the_first_override_that_matches_wins() {
        let over = |glob: &str, action, after| LivelockOverride {
            cgroups: vec![glob.to_owned()],
            action,
            after,
            thrash_after: None,
        };
        let config = Livelock {
            cgroups: vec!["system.slice/**".to_owned()],
            overrides: vec![
                over("system.slice/db.service", Some(LivelockAction::Warn), None),
                over("**/db.service", None, Some(Duration::from_secs(20))),
            ],
            ..Livelock::default()
        };
        let of = |path: &str| scope(&config, path.as_bytes(), 4096);
        assert_eq!(
            of("/system.slice/db.service").map(|s| (s.action, s.terms.after.as_secs())),
            Some((LivelockAction::Warn, 10))
        );
        assert_eq!(
            of("/user.slice/db.service").map(|s| (s.action, s.terms.after.as_secs())),
            Some((LivelockAction::Kill, 20))
        );
        assert_eq!(of("/system.slice/web.service").map(|s| s.terms.thrash_after.as_secs()), Some(30));
        assert_eq!(of("/user.slice"), None);
        let off = Livelock { enabled: false, ..config };
        assert_eq!(scope(&off, b"/system.slice/db.service", 4096), None);
    }
}
