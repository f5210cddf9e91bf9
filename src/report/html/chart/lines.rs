//! Lines over time, with thresholds.

use std::fmt::{self, Write};

use super::Canvas;
use super::series::{Point, runs, thinned};

/// The names of thresholds stand at the right edge, at least this far apart.
const LABEL_HEIGHT: f64 = 12.0;

/// A line; `class` gives colour and dashes.
pub(in crate::report::html) struct Line {
    pub class: &'static str,
    /// Filled down to 0.
    pub filled: bool,
    /// Milliseconds since 1970 and value, in order.
    pub points: Vec<(u64, f64)>,
}

/// A level; `class` gives colour and dashes.
pub(in crate::report::html) struct Threshold {
    pub class: &'static str,
    /// One short word.
    pub name: &'static str,
    pub value: f64,
}

pub(in crate::report::html) struct LineChart<'a> {
    pub canvas: Canvas<'a>,
    pub lines: Vec<Line>,
    /// From the highest to the lowest.
    pub thresholds: Vec<Threshold>,
}

impl LineChart<'_> {
    pub fn draw(&self, out: &mut String) -> fmt::Result {
        self.canvas.draw(
            out,
            |out| self.lines.iter().try_for_each(|line| self.draw_line(out, line)),
            |out| self.draw_thresholds(out),
        )
    }

    fn draw_line(&self, out: &mut String, line: &Line) -> fmt::Result {
        let points: Vec<Point> = line.points.iter().map(|&(t_ms, value)| Point { t_ms, value }).collect();
        let points = thinned(&points, self.canvas.frame);
        let mut path = String::new();
        let mut area = String::new();
        for run in runs(&points, |point| point.t_ms) {
            let at = |point: &Point| (self.canvas.frame.x(point.t_ms), self.canvas.down(point.value));
            let [first, .., last] = run else {
                let (x, y) = at(&run[0]);
                // A line of no length with round ends is a dot.
                write!(path, "M{x:.1} {y:.1}h0")?;
                continue;
            };
            let start = path.len();
            for (n, point) in run.iter().enumerate() {
                let (x, y) = at(point);
                write!(path, "{}{x:.1} {y:.1}", if n == 0 { 'M' } else { 'L' })?;
            }
            let bottom = self.canvas.height;
            write!(area, "{}L{:.1} {bottom}L{:.1} {bottom}Z", &path[start..], at(last).0, at(first).0)?;
        }
        if line.filled && !area.is_empty() {
            write!(out, "<path class=\"area {}\" d=\"{area}\"/>", line.class)?;
        }
        if path.is_empty() {
            return Ok(());
        }
        write!(out, "<path class=\"line {}\" d=\"{path}\"/>", line.class)
    }

    fn draw_thresholds(&self, out: &mut String) -> fmt::Result {
        // Laid out from the lowest upwards: the lowest one is the one that matters most.
        let mut free_above = f64::INFINITY;
        for threshold in self.thresholds.iter().rev().filter(|t| t.value <= self.canvas.scale.top) {
            let (y, class) = (self.canvas.y(threshold.value), threshold.class);
            let label = (y + 4.0).min(free_above);
            free_above = label - LABEL_HEIGHT;
            write!(
                out,
                "<line class=\"threshold {class}\" x1=\"0\" x2=\"100%\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"level {class}\" x=\"100%\" dx=\"5\" y=\"{label:.1}\">{}</text>",
                threshold.name
            )?;
        }
        Ok(())
    }
}
