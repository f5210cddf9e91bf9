//! The largest cgroups and tasks over time, as bands on top of one another.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::{self, Write};

use serde_json::Value as Json;

use crate::report::incident::schema::{Entry, TopTask, Tops};
use crate::report::{Local, Size};

use super::chart::{Band, Canvas, Frame, Scale, StackChart};
use super::charts::{Scene, figure};
use super::markup::Safe;

/// As many as there are colours that everybody can tell apart; the rest is one band.
const BANDS: usize = 7;

const LETTERS: [char; BANDS] = ['A', 'B', 'C', 'D', 'E', 'F', 'G'];

/// The band of all others.
const OTHERS: char = '+';

/// The height of the plots in CSS pixels.
const HEIGHT: f64 = 200.0;

/// Something large, with its size at each time; 0 where it was not among the largest.
struct Row {
    name: String,
    /// Which cgroup it is in, or nothing.
    place: Option<String>,
    victim: bool,
    sizes: Vec<u64>,
}

impl Row {
    fn peak(&self) -> u64 {
        self.sizes.iter().copied().max().unwrap_or(0)
    }
}

pub(super) fn write(out: &mut String, scene: &Scene<'_>) -> fmt::Result {
    let mut tops: Vec<&Tops> = scene.incident.tops.iter().collect();
    tops.sort_by_key(|top| top.t_ms);
    let victim = scene.incident.victim.as_ref();
    let victim_pid = victim.and_then(|victim| victim.pid);
    let victim_cgroup = victim.and_then(|victim| victim.cgroup.as_deref());

    let mut cgroups: BTreeMap<&str, Row> = BTreeMap::new();
    let mut tasks: BTreeMap<(i32, &str), Row> = BTreeMap::new();
    for (n, top) in tops.iter().enumerate() {
        for cgroup in &top.cgroups {
            let row = cgroups.entry(&cgroup.path).or_insert_with(|| Row {
                name: cgroup.path.clone(),
                place: None,
                victim: victim_cgroup == Some(cgroup.path.as_str()),
                sizes: vec![0; tops.len()],
            });
            row.sizes[n] = cgroup.size_bytes;
        }
        for task in top.tasks.iter().filter(|task| !has_ended(&scene.incident.events, task, top.t_ms)) {
            let row = tasks.entry((task.pid, &task.comm)).or_insert_with(|| Row {
                name: format!("{} (pid {})", task.comm, task.pid),
                place: task.cgroup.clone(),
                victim: victim_pid == Some(task.pid),
                sizes: vec![0; tops.len()],
            });
            row.sizes[n] = task.size_bytes;
        }
    }
    let times: Vec<u64> = tops.iter().map(|top| top.t_ms).collect();
    // They are recorded only while memory is short: that may be moments out of ten minutes.
    let frame = Frame::around(times.iter().copied()).filter(|frame| scene.is_enlarged_by(*frame));
    let frame = frame.unwrap_or(scene.frame);
    write_stack(out, scene, "tasks", "Largest tasks", (frame, &times), tasks.into_values().collect())?;
    write_stack(out, scene, "cgroups", "Largest cgroups", (frame, &times), cgroups.into_values().collect())
}

/// Whether its end was told before then. What is recorded of tasks is up to five seconds old: it still has those who
/// ended meanwhile. A pid may be another's by then, under another name.
fn has_ended(events: &[Entry], task: &TopTask, t_ms: u64) -> bool {
    events.iter().any(|entry| {
        entry.event == "exited"
            && entry.t_ms < t_ms
            && entry.fields.get("pid").and_then(Json::as_i64) == Some(i64::from(task.pid))
            && entry.fields.get("comm").and_then(Json::as_str) == Some(task.comm.as_str())
    })
}

fn write_stack(
    out: &mut String,
    scene: &Scene<'_>,
    id: &str,
    name: &str,
    (frame, times): (Frame, &[u64]),
    mut rows: Vec<Row>,
) -> fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    // Stable: equal ones stay in the order of their names.
    rows.sort_by_key(|row| Reverse(row.peak()));
    let others = rows.split_off(rows.len().min(BANDS));
    let mut bands: Vec<Band> = rows
        .iter()
        .zip(LETTERS)
        .enumerate()
        .map(|(n, (row, letter))| Band {
            class: format!("s{n}"),
            letter,
            values: row.sizes.iter().map(|&size| size as f64).collect(),
        })
        .collect();
    if !others.is_empty() {
        let values = (0..times.len()).map(|n| others.iter().map(|row| row.sizes[n] as f64).sum()).collect();
        bands.push(Band { class: "rest".to_owned(), letter: OTHERS, values });
    }
    let total = |n: usize| bands.iter().map(|band| band.values[n]).sum::<f64>();
    let most = (0..times.len()).map(total).fold(0.0, f64::max);
    match times {
        [only] => figure(out, name, &format!("anonymous memory and swap at {}", Local::at_ms(*only).clock()))?,
        _ => figure(out, name, "anonymous memory and swap; A, the largest, is at the bottom")?,
    }
    let largest: Vec<&str> = rows.iter().take(3).map(|row| row.name.as_str()).collect();
    let description = format!("Sizes over time, stacked. The largest: {}.", largest.join(", "));
    let canvas = Canvas { frame, height: HEIGHT, ..scene.canvas(id, name, &description, Scale::bytes(most)) };
    // A single look has no course; the table says all of it.
    if times.len() > 1 {
        StackChart { canvas, times: times.to_vec(), bands }.draw(out)?;
    }
    write_table(out, name, &rows, others.len())
}

fn write_table(out: &mut String, name: &str, rows: &[Row], others: usize) -> fmt::Result {
    writeln!(
        out,
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{name}\"><table>\
         <thead><tr><th scope=\"col\">band</th><th scope=\"col\">who</th><th scope=\"col\" class=\"n wide\">first</th>\
         <th scope=\"col\" class=\"n\">highest</th><th scope=\"col\" class=\"n\">last</th></tr></thead><tbody>"
    )?;
    for (n, (row, letter)) in rows.iter().zip(LETTERS).enumerate() {
        let class = if row.victim { " class=\"victim\"" } else { "" };
        write!(
            out,
            "<tr{class}><td><span class=\"swatch s{n}\">{letter}</span></td><th scope=\"row\">{}",
            Safe(&row.name)
        )?;
        if row.victim {
            write!(out, " <b>victim</b>")?;
        }
        if let Some(place) = &row.place {
            write!(out, "<br/><small>{}</small>", Safe(place))?;
        }
        let size = |value: Option<&u64>| match value {
            None | Some(0) => "–".to_owned(),
            Some(&bytes) => Size(bytes).to_string(),
        };
        writeln!(
            out,
            "</th><td class=\"n wide\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            size(row.sizes.first()),
            size(Some(&row.peak())),
            size(row.sizes.last())
        )?;
    }
    if others > 0 {
        writeln!(
            out,
            "<tr><td><span class=\"swatch rest\">{OTHERS}</span></td><th scope=\"row\" colspan=\"4\">{others} more that were \
             among the largest at some time</th></tr>"
        )?;
    }
    writeln!(out, "</tbody></table></div>")
}
