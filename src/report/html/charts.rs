//! What the charts show: the machine's memory, a close-up of the acts, swap, pressure, the largest cgroups and tasks.

use std::fmt::{self, Write};

use crate::report::incident::answer;
use crate::report::incident::schema::{Incident, Sample};
use crate::report::incident::stalled::{self, Step};
use crate::report::{Local, Size};

use super::chart::{Canvas, Frame, Line, LineChart, Scale, Threshold, joined};
use super::marks::{self, Class, Mark};
use super::markup::Safe;
use super::tops;

/// Heights of the plots in CSS pixels: the memory is what it is about.
const TALL: f64 = 220.0;
const LOW: f64 = 120.0;

/// A close-up begins and ends this long before the first and after the last act.
const AROUND_ACTS_MS: u64 = 15_000;

/// A close-up is worth its place when it enlarges by this much.
const ENLARGES: u64 = 3;

/// What all charts of a page share.
pub(super) struct Scene<'a> {
    pub incident: &'a Incident,
    /// By time, whatever the file's order is.
    pub samples: Vec<Sample>,
    pub marks: Vec<Mark>,
    pub frame: Frame,
}

impl Scene<'_> {
    pub fn canvas<'a>(&'a self, id: &'a str, title: &'a str, description: &'a str, scale: Scale) -> Canvas<'a> {
        Canvas { id, title, description, frame: self.frame, scale, height: LOW, marks: &self.marks }
    }

    /// Whether a chart of this frame shows more than one of the whole time.
    pub fn is_enlarged_by(&self, frame: Frame) -> bool {
        self.frame.length_ms() / ENLARGES >= frame.length_ms()
    }

    fn line(&self, class: &'static str, filled: bool, value: impl Fn(&Sample) -> Option<f64>) -> Line {
        let points = self.samples.iter().filter_map(|s| Some((s.t_ms, value(s)?)));
        Line { class, filled, points: points.collect() }
    }
}

/// The section of the charts.
pub(super) fn write(out: &mut String, incident: &Incident) -> fmt::Result {
    writeln!(out, "<section><h2>What led up to it</h2>")?;
    let (marks, left_out) = marks::marks(incident);
    let mut samples = incident.before.clone();
    samples.sort_by_key(|sample| sample.t_ms);
    let times = samples.iter().map(|s| s.t_ms).chain(incident.tops.iter().map(|t| t.t_ms));
    let seen = Frame::around(times.clone());
    // Acts that nothing was recorded around make no chart of their own.
    let frame = seen.and_then(|_| Frame::around(times.chain(marks.iter().map(|mark| mark.t_ms))));
    let Some(frame) = frame else {
        writeln!(out, "<p class=\"note\">The flight recorder has nothing of this time.</p>")?;
        marks::write_list(out, &marks, left_out)?;
        return writeln!(out, "</section>");
    };
    let scene = Scene { incident, samples, marks, frame };
    write_memory(out, &scene)?;
    marks::write_list(out, &scene.marks, left_out)?;
    write_close_up(out, &scene)?;
    write_cgroup(out, &scene)?;
    write_pressure(out, &scene)?;
    write_swap(out, &scene)?;
    tops::write(out, &scene)?;
    writeln!(out, "</section>")
}

fn write_memory(out: &mut String, scene: &Scene<'_>) -> fmt::Result {
    let (Some(first), Some(last)) = (scene.samples.first(), scene.samples.last()) else {
        return Ok(());
    };
    let clock = |t_ms| Local::at_ms(t_ms).clock();
    let lowest = scene.samples.iter().min_by_key(|sample| sample.available_bytes).unwrap_or(first);
    let mut words = format!("{} at {}", Size(first.available_bytes), clock(first.t_ms));
    if lowest.available_bytes < first.available_bytes {
        write!(words, "; lowest {} at {}", Size(lowest.available_bytes), clock(lowest.t_ms))?;
    }
    if last.t_ms > lowest.t_ms {
        write!(words, "; {} at {}", Size(last.available_bytes), clock(last.t_ms))?;
    }
    if scene.samples.array_windows().any(|[a, b]| !joined(a.t_ms, b.t_ms)) {
        words.push_str("; nobody looked in the gaps");
    }
    figure(out, "Available memory", &words)?;
    draw_memory(out, scene, scene.frame, "memory", &format!("Available memory over time: {words}."))?;
    let mut legend = vec![("l-available", "available".to_owned())];
    for threshold in thresholds(scene) {
        let level = Size(round(threshold.value));
        legend.push((threshold.class, format!("{} at {level}", threshold.name)));
    }
    write_legend(out, &legend)
}

/// The acts at a scale at which they can be told apart.
fn write_close_up(out: &mut String, scene: &Scene<'_>) -> fmt::Result {
    let acts = scene.marks.iter().filter(|mark| mark.class != Class::Seen);
    let Some(acts) = Frame::around(acts.map(|mark| mark.t_ms)) else {
        return Ok(());
    };
    let frame = acts.widened(AROUND_ACTS_MS, scene.frame);
    let samples = scene.samples.iter().filter(|sample| frame.contains(sample.t_ms)).count();
    if samples < 2 || !scene.is_enlarged_by(frame) {
        return Ok(());
    }
    let words = format!("{} to {}", Local::at_ms(frame.from).clock(), Local::at_ms(frame.to).clock());
    figure(out, "Available memory around the acts", &words)?;
    draw_memory(out, scene, frame, "closeup", &format!("Available memory around the acts, {words}."))
}

fn draw_memory(out: &mut String, scene: &Scene<'_>, frame: Frame, id: &str, description: &str) -> fmt::Result {
    let thresholds = thresholds(scene);
    let seen = scene.samples.iter().filter(|sample| frame.contains(sample.t_ms));
    let values = seen.map(|sample| sample.available_bytes as f64).chain(thresholds.iter().map(|t| t.value));
    let scale = Scale::bytes(values.fold(0.0, f64::max));
    let lines = vec![scene.line("l-available", true, |sample| Some(sample.available_bytes as f64))];
    let canvas = Canvas { frame, height: TALL, ..scene.canvas(id, "Available memory", description, scale) };
    LineChart { canvas, lines, thresholds }.draw(out)
}

/// From the highest to the lowest.
fn thresholds(scene: &Scene<'_>) -> Vec<Threshold> {
    let Some(set) = scene.incident.thresholds else {
        return Vec::new();
    };
    let threshold = |class, name, bytes: u64| Threshold { class, name, value: bytes as f64 };
    let mut all = vec![
        threshold("t-warn", "warn", set.warn_bytes),
        threshold("t-term", "term", set.term_bytes),
        threshold("t-kill", "kill", set.kill_bytes),
    ];
    all.sort_by(|a, b| b.value.total_cmp(&a.value));
    all
}

/// The cgroup in trouble, at the scale of its trouble: its memory between its limits, and how it stalled.
fn write_cgroup(out: &mut String, scene: &Scene<'_>) -> fmt::Result {
    let incident = scene.incident;
    let steps: Vec<Step> = stalled::steps(incident).collect();
    let (Some(cgroup), Some(at_issue)) = (&incident.cgroup, stalled::at_issue(incident)) else { return Ok(()) };
    let Some(frame) = Frame::around(steps.iter().map(|step| step.t_ms)).filter(|_| steps.len() > 1) else {
        return Ok(());
    };
    let points = |value: fn(&Step) -> f64| steps.iter().map(|step| (step.t_ms, value(step))).collect();
    let name = Safe(answer::short(cgroup));
    let mut thresholds = Vec::new();
    for (class, name, bytes) in [("t-kill", "max", at_issue.max_bytes), ("t-term", "high", at_issue.high_bytes)] {
        thresholds.extend(bytes.map(|bytes| Threshold { class, name, value: bytes as f64 }));
    }
    let peak = steps.iter().map(|step| step.current_bytes).max().unwrap_or(0);
    let words =
        format!("highest {}, {} to {}", Size(peak), Local::at_ms(frame.from).clock(), Local::at_ms(frame.to).clock());
    figure(out, &format!("Memory of {name}"), &words)?;
    let title = format!("Memory of {}", answer::short(cgroup));
    let description = format!("{title} over time: {words}.");
    let scale = Scale::bytes(thresholds.iter().map(|threshold| threshold.value).fold(peak as f64, f64::max));
    let canvas = Canvas { frame, ..scene.canvas("cgroup", &title, &description, scale) };
    let lines = vec![Line { class: "l-available", filled: true, points: points(|step| step.current_bytes as f64) }];
    let mut legend = vec![("l-available", "memory.current".to_owned())];
    for threshold in &thresholds {
        legend.push((threshold.class, format!("memory.{} at {}", threshold.name, Size(round(threshold.value)))));
    }
    LineChart { canvas, lines, thresholds }.draw(out)?;
    write_legend(out, &legend)?;
    let stalled = vec![Line { class: "l-full", filled: true, points: points(|step| step.stalled * 100.0) }];
    let words = format!("highest {:.0} % of the time", most(&stalled).unwrap_or(0.0));
    figure(out, &format!("Stall of {name}"), &words)?;
    let title = format!("Stall of {}", answer::short(cgroup));
    let description = format!("Share of time in which none of its tasks could run: {words}.");
    let canvas = Canvas { frame, ..scene.canvas("stall", &title, &description, Scale::percent(100.0)) };
    LineChart { canvas, lines: stalled, thresholds: Vec::new() }.draw(out)?;
    write_legend(out, &[("l-full", "none of its tasks could run".to_owned())])
}

fn write_pressure(out: &mut String, scene: &Scene<'_>) -> fmt::Result {
    let lines = vec![
        scene.line("l-some", false, |sample| percent(sample.psi_some_percent)),
        scene.line("l-full", true, |sample| percent(sample.psi_full_percent)),
    ];
    let Some(most) = most(&lines) else {
        return Ok(());
    };
    let words = format!("highest {most:.0} % of the last 10 s");
    figure(out, "Memory pressure", &words)?;
    let description = format!("Share of time in which tasks waited for memory: {words}.");
    let canvas = scene.canvas("pressure", "Memory pressure (PSI)", &description, Scale::percent(most));
    LineChart { canvas, lines, thresholds: Vec::new() }.draw(out)?;
    write_legend(
        out,
        &[("l-some", "some: a task waited for memory".to_owned()), ("l-full", "full: all of them did".to_owned())],
    )
}

fn write_swap(out: &mut String, scene: &Scene<'_>) -> fmt::Result {
    let total = scene.incident.host.swap_total_bytes.filter(|&total| total > 0);
    let used = |sample: &Sample| Some(total?.saturating_sub(sample.swap_free_bytes?) as f64);
    let candidates = [
        ("l-swap", true, "swap used", scene.line("l-swap", true, used)),
        ("l-zram", false, "memory that zram takes", scene.line("l-zram", false, |s| Some(s.zram_bytes? as f64))),
    ];
    let mut legend = Vec::new();
    let mut lines = Vec::new();
    for (class, always, name, line) in candidates {
        // Machines without zram may say 0.
        if !line.points.is_empty() && (always || line.points.iter().any(|&(_, value)| value > 0.0)) {
            legend.push((class, name.to_owned()));
            lines.push(line);
        }
    }
    let Some(most) = most(&lines) else {
        return Ok(());
    };
    let words = match total {
        Some(total) => format!("highest {} of {}", Size(round(most)), Size(total)),
        None => format!("highest {}", Size(round(most))),
    };
    figure(out, "Swap", &words)?;
    let description = format!("Swap over time: {words}.");
    let scale = Scale::bytes(most.max(total.map_or(0.0, |total| total as f64)));
    let canvas = scene.canvas("swap", "Swap", &description, scale);
    LineChart { canvas, lines, thresholds: Vec::new() }.draw(out)?;
    write_legend(out, &legend)
}

/// A file may say anything.
fn percent(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite()).map(|value| value.clamp(0.0, 100.0))
}

fn most(lines: &[Line]) -> Option<f64> {
    lines.iter().flat_map(|line| &line.points).map(|&(_, value)| value).reduce(f64::max)
}

/// The heading of a chart: its name, and in words what it shows.
pub(super) fn figure(out: &mut String, name: &str, words: &str) -> fmt::Result {
    writeln!(out, "<h3>{name} <small>{words}</small></h3>")
}

/// What the lines of a chart are.
fn write_legend(out: &mut String, entries: &[(&str, String)]) -> fmt::Result {
    write!(out, "<ul class=\"legend\">")?;
    for (class, name) in entries {
        write!(
            out,
            "<li><svg class=\"key\" width=\"26\" height=\"10\" aria-hidden=\"true\">\
             <line class=\"line {class}\" x1=\"1\" x2=\"25\" y1=\"5\" y2=\"5\"/></svg>{name}</li>"
        )?;
    }
    writeln!(out, "</ul>")
}

/// Back to whole bytes; all values came from such.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast saturates, and sizes are not negative"
)]
fn round(bytes: f64) -> u64 {
    bytes as u64
}
