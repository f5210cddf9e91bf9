//! The JSON document of `status --json`.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value as Json, json};

use super::super::field::{Field, Origin, Value};
use super::super::queue::Sent;
use super::super::record;
use super::{CgroupState, RunningConfig, Scope, Snapshot};

/// The version of the document's form.
pub const SCHEMA: u32 = 1;

/// Who answers.
#[derive(Clone, Copy, Debug)]
pub struct Daemon {
    /// Its pid; `None` when no daemon runs and the asking command looked itself.
    pub pid: Option<u32>,
    /// Whether it only says what it would do; `None` when no daemon runs.
    pub dry_run: Option<bool>,
}

/// The document without events: what a command that finds no daemon can say by itself. Unknown is `null`.
pub fn document(daemon: Daemon, seen: Option<(SystemTime, &Snapshot)>) -> Json {
    let snapshot = seen.map(|(_, snapshot)| snapshot);
    let cgroups: Vec<Json> = snapshot.iter().flat_map(|snapshot| snapshot.cgroups.iter()).map(cgroup).collect();
    json!({
        "schema": SCHEMA,
        "daemon": {
            "running": daemon.pid.is_some(),
            "pid": daemon.pid,
            "dry_run": daemon.dry_run,
            "version": env!("CARGO_PKG_VERSION"),
            "config": null,
        },
        "memory": {
            "total_bytes": snapshot.map(|s| s.memory_total),
            "available_bytes": snapshot.map(|s| s.memory_available),
            "available_percent": snapshot.map(|s| hundredths(s.available_percent)),
            "scope": snapshot.map(|s| match s.scope {
                Scope::Host => "host",
                Scope::Cgroup => "cgroup",
            }),
            "seen_ms": seen.map(|(at, _)| unix_ms(at)),
        },
        "limits": snapshot.map(|s| json!({
            "warn_bytes": s.limits.warn,
            "term_bytes": s.limits.term,
            "kill_bytes": s.limits.kill,
        })),
        "swap": {
            "total_bytes": snapshot.map(|s| s.swap_total),
            "free_bytes": snapshot.map(|s| s.swap_free),
        },
        "psi": {
            "some_avg10": snapshot.and_then(|s| s.psi_some_avg10),
            "full_avg10": snapshot.and_then(|s| s.psi_full_avg10),
        },
        "cgroups": cgroups,
        "more_cgroups": snapshot.map(|s| s.more_cgroups),
        "events": [],
    })
}

/// The document of a running daemon.
pub(super) fn with_events<'a>(
    origin: &Origin,
    config: &RunningConfig,
    seen: Option<(SystemTime, &Snapshot)>,
    events: impl Iterator<Item = &'a Sent>,
) -> Json {
    let daemon = Daemon { pid: Some(std::process::id()), dry_run: Some(origin.dry_run) };
    let mut document = document(daemon, seen);
    document["daemon"]["config"] = config.json();
    document["events"] = events.map(|sent| Json::Object(event(sent, origin))).collect();
    document
}

fn cgroup(cgroup: &CgroupState) -> Json {
    json!({
        "path": cgroup.path.to_string(),
        "current": cgroup.current,
        "high": cgroup.high,
        "max": cgroup.max,
        "stall_percent": cgroup.stall_percent.map(hundredths),
        "state": cgroup.state,
        "doing": cgroup.doing,
    })
}

/// An event has the journal's fields (`HOGWATCH_SIZE_BYTES` is `size_bytes`), its time and its sentence.
pub(in super::super) fn event(sent: &Sent, origin: &Origin) -> Map<String, Json> {
    let mut object = Map::new();
    object.insert("t_ms".into(), unix_ms(sent.at).into());
    object.insert("priority".into(), sent.event.event.spec().priority.word().into());
    let mut message = String::new();
    record::message(&mut message, sent, origin, 0, sent.at);
    object.insert("message".into(), message.into());
    for field in Field::ALL {
        let value = match field.value(&sent.event, origin) {
            None => continue,
            Some(_) if field == Field::DryRun => Json::Bool(true),
            Some(Value::Number(number)) => number_json(number),
            Some(Value::Percent(percent)) => hundredths(percent).into(),
            Some(text) => text.to_string().into(),
        };
        object.insert(field.json_name(), value);
    }
    object
}

fn number_json(number: i128) -> Json {
    // Every number of an event is an i32, u32 or u64.
    u64::try_from(number).map_or_else(|_| i64::try_from(number).map_or(Json::Null, Json::from), Json::from)
}

/// Percents carry two decimals, as in the journal.
fn hundredths(percent: f64) -> f64 {
    (percent * 100.0).round() / 100.0
}

/// Milliseconds since 1970; 0 before.
pub(in super::super) fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::super::event::{Event, EventKind};
    use super::super::super::text::Text;
    use super::super::Limits;
    use super::*;
    use std::time::Duration;

    #[test]
    fn nothing_known_is_null_and_no_key_is_missing() {
        let json = document(Daemon { pid: None, dry_run: None }, None);
        assert_eq!(
            json,
            json!({
                "schema": 1,
                "daemon": {
                    "running": false, "pid": null, "dry_run": null, "version": env!("CARGO_PKG_VERSION"), "config": null
                },
                "limits": null,
                "memory": {
                    "total_bytes": null, "available_bytes": null, "available_percent": null, "scope": null,
                    "seen_ms": null
                },
                "swap": {"total_bytes": null, "free_bytes": null},
                "psi": {"some_avg10": null, "full_avg10": null},
                "cgroups": [],
                "more_cgroups": null,
                "events": [],
            })
        );
    }

    #[test]
    fn a_running_daemon() {
        let snapshot = Snapshot {
            memory_total: 25_232_932_864,
            memory_available: 1_181_116_006,
            available_percent: 4.680_851,
            scope: Scope::Cgroup,
            limits: Limits { warn: 3, term: 2, kill: 1 },
            swap_total: 0,
            swap_free: 0,
            psi_some_avg10: Some(12.5),
            psi_full_avg10: None,
            cgroups: vec![CgroupState {
                path: Text::from_bytes(b"/user.slice/a\nb"),
                current: 10,
                high: Some(20),
                max: None,
                stall_percent: Some(81.234),
                state: Some("throttled"),
                doing: Some("killing"),
            }],
            more_cgroups: 3,
        };
        let origin = Origin { dry_run: true, started: UNIX_EPOCH };
        let sent = Sent {
            at: UNIX_EPOCH + Duration::from_millis(1500),
            event: Event {
                pid: Some(7),
                comm: Text::from_bytes(b"\xff\""),
                oom_score_adj: Some(-500),
                size_bytes: Some(u64::MAX),
                available_percent: Some(4.866),
                incident: Some(3),
                ..Event::new(EventKind::Term)
            },
        };
        let seen = Some((UNIX_EPOCH + Duration::from_secs(1), &snapshot));
        let config = RunningConfig::new(Some("/etc/hogwatch/hogwatch.toml".into()), 1);
        config.set(0xab);
        let json = with_events(&origin, &config, seen, [&sent].into_iter());
        let told = json!({"path": "/etc/hogwatch/hogwatch.toml", "hash": "00000000000000ab"});
        assert_eq!(json["daemon"]["config"], told);
        assert_eq!(json["daemon"]["pid"], std::process::id());
        assert_eq!(json["daemon"]["dry_run"], true);
        assert_eq!(
            json["memory"],
            json!({
                "total_bytes": 25_232_932_864_u64, "available_bytes": 1_181_116_006, "available_percent": 4.68,
                "scope": "cgroup", "seen_ms": 1000
            })
        );
        assert_eq!(json["psi"], json!({"some_avg10": 12.5, "full_avg10": null}));
        assert_eq!(
            json["cgroups"],
            json!([{
                "path": "/user.slice/a\\nb", "current": 10, "high": 20, "max": null, "stall_percent": 81.23,
                "state": "throttled",
                "doing": "killing"
            }])
        );
        assert_eq!(json["more_cgroups"], 3);
        assert_eq!(
            json["events"],
            json!([{
                "t_ms": 1500, "priority": "err", "event": "term", "pid": 7, "comm": "\\xff\"", "oom_score_adj": -500,
                "size_bytes": u64::MAX, "available_percent": 4.87, "incident": "19700101T000000Z-3", "dry_run": true,
                "message": "would send a signal to \\xff\" (pid 7, 16.0 EiB)",
            }])
        );
    }
}
