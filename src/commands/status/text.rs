//! The status in words.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use serde_json::Value as Json;

use crate::report::Size;

/// What a line may take; a longer path goes on a line of its own, for it must stay whole to be pasted.
const WIDTH: usize = 80;

pub(super) fn text(document: &Json) -> String {
    let mut out = String::new();
    // Writing to a String can't fail.
    let _ = write(&mut out, document);
    out
}

fn write(out: &mut String, document: &Json) -> std::fmt::Result {
    let daemon = &document["daemon"];
    match daemon["pid"].as_u64() {
        Some(pid) => {
            let how = if daemon["dry_run"] == true { ", dry run: it signals nobody" } else { "" };
            writeln!(out, "hogwatch  running (pid {pid}, version {}){how}", daemon["version"].as_str().unwrap_or("?"))?;
        }
        None if daemon["running"].is_null() => writeln!(out, "hogwatch  unknown: it can't be asked (see above)")?,
        None => writeln!(out, "hogwatch  no daemon runs (systemctl enable --now hogwatch)")?,
    }
    let bytes = size;
    let number = |value: &Json| value.as_f64().map_or("?".to_owned(), |n| format!("{n:.2}"));
    let memory = &document["memory"];
    let whose = if memory["scope"] == "cgroup" { " under the nearest cgroup limit" } else { "" };
    writeln!(
        out,
        "memory    {} % available ({} of {}){whose}",
        number(&memory["available_percent"]),
        bytes(&memory["available_bytes"]),
        bytes(&memory["total_bytes"])
    )?;
    let limits = &document["limits"];
    writeln!(
        out,
        "limits    warn at {}, SIGTERM at {}, SIGKILL at {}",
        bytes(&limits["warn_bytes"]),
        bytes(&limits["term_bytes"]),
        bytes(&limits["kill_bytes"])
    )?;
    let swap = &document["swap"];
    match swap["total_bytes"].as_u64() {
        Some(0) => writeln!(out, "swap      none")?,
        _ => writeln!(out, "swap      {} free of {}", bytes(&swap["free_bytes"]), bytes(&swap["total_bytes"]))?,
    }
    let zram = &swap["zram"];
    if zram["stored_bytes"].as_u64().is_some_and(|stored| stored > 0) {
        writeln!(
            out,
            "zram      {} of swap in {} of memory",
            bytes(&zram["stored_bytes"]),
            bytes(&zram["memory_bytes"])
        )?;
    }
    let psi = &document["psi"];
    if psi["some_avg10"].is_null() {
        writeln!(out, "pressure  unknown: this kernel has no PSI")?;
    } else {
        writeln!(
            out,
            "pressure  some {} %, full {} % of the last 10 s",
            number(&psi["some_avg10"]),
            number(&psi["full_avg10"])
        )?;
    }
    write_cgroups(out, document)?;
    let events = document["events"].as_array().map_or(&[][..], Vec::as_slice);
    if !events.is_empty() {
        writeln!(out, "\nlast events")?;
    }
    let now = SystemTime::now();
    for event in events {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(event["t_ms"].as_u64().unwrap_or(0));
        let ago = now.duration_since(at).unwrap_or_default().as_secs();
        let ago = match ago {
            0..=119 => format!("{ago} s"),
            120..=7199 => format!("{} min", ago / 60),
            _ => format!("{} h", ago / 3600),
        };
        writeln!(out, "  {ago:>7} ago  {}", event["message"].as_str().unwrap_or("?"))?;
    }
    Ok(())
}

/// The limits that enclose the guard, then a table of the cgroups that are at their own.
fn write_cgroups(out: &mut String, document: &Json) -> std::fmt::Result {
    let all = document["cgroups"].as_array().map_or(&[][..], Vec::as_slice);
    let path = |cgroup: &Json| cgroup["path"].as_str().unwrap_or("?").to_owned();
    let is_at_limit = |cgroup: &&Json| !(cgroup["state"].is_null() && cgroup["stall_percent"].is_null());
    for cgroup in all.iter().filter(|cgroup| !is_at_limit(cgroup)) {
        writeln!(out, "limit     {}: {} of {}", path(cgroup), size(&cgroup["current"]), size(&cgroup["max"]))?;
    }
    for (n, cgroup) in all.iter().filter(is_at_limit).enumerate() {
        if n == 0 {
            writeln!(out, "\ncgroups at their limit\n  STATE        STALL   CURRENT      HIGH       MAX  PATH")?;
        }
        let limit = |value: &Json| if value.is_null() { "max".to_owned() } else { size(value) };
        let stall = cgroup["stall_percent"].as_f64().map_or("?".to_owned(), |percent| format!("{percent:.0} %"));
        let numbers = format!(
            "  {:<11} {stall:>6} {:>9} {:>9} {:>9}",
            cgroup["state"].as_str().unwrap_or("-"),
            size(&cgroup["current"]),
            limit(&cgroup["high"]),
            limit(&cgroup["max"]),
        );
        let path = match cgroup["doing"].as_str() {
            Some(doing) => format!("{} ({doing})", path(cgroup)),
            None => path(cgroup),
        };
        let gap = if numbers.len() + 2 + path.chars().count() <= WIDTH { "  " } else { "\n      " };
        writeln!(out, "{numbers}{gap}{path}")?;
    }
    match document["more_cgroups"].as_u64() {
        None | Some(0) => Ok(()),
        Some(more) => writeln!(out, "  … and {more} more"),
    }
}

fn size(value: &Json) -> String {
    value.as_u64().map_or("?".to_owned(), |bytes| Size(bytes).to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cgroups_stand_in_a_table_and_long_paths_on_lines_of_their_own() {
        let long = format!("/user.slice/user-1000.slice/user@1000.service/app.slice/{}.scope", "x".repeat(60));
        let stuck = |path: &str, state: &str, stall: f64| {
            json!({
                "path": path, "current": 213 << 20, "high": 200 << 20, "max": 400 << 20, "stall_percent": stall,
                "state": state, "doing": (stall > 99.0).then_some("killing"),
            })
        };
        let document = json!({
            "cgroups": [
                stuck("/system.slice/web.service", "throttled", 81.23),
                stuck(&long, "swap_thrash", 100.0),
                {"path": "/a", "current": 5, "high": null, "max": 6, "stall_percent": 0.4, "state": null},
                {"path": "/user.slice", "current": 5, "high": null, "max": 6, "stall_percent": null, "state": null},
            ],
            "more_cgroups": 188,
        });
        let mut out = String::new();
        write_cgroups(&mut out, &document).unwrap();
        let expected = format!(
            "limit     /user.slice: 5 B of 6 B

cgroups at their limit
  STATE        STALL   CURRENT      HIGH       MAX  PATH
  throttled     81 %   213 MiB   200 MiB   400 MiB  /system.slice/web.service
  swap_thrash  100 %   213 MiB   200 MiB   400 MiB
      {long} (killing)
  -              0 %       5 B       max       6 B  /a
  … and 188 more
"
        );
        assert_eq!(out, expected);
        assert!(out.lines().all(|line| line.contains(&long) || line.chars().count() <= WIDTH), "{out}");
    }
}
