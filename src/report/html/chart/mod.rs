//! Charts as SVG of our own: no charting crate draws static SVG that follows the reader's colours and whose text keeps its
//! size when the chart shrinks to a phone.
//!
//! The trick: paths live in an inner `<svg>` that is stretched to the width there is; text, ticks and marks are placed by
//! percent beside it and are not stretched. A unit of height is a CSS pixel, a unit of width a thousandth of the plot.

mod axis;
mod lines;
mod series;
mod stack;

pub(super) use axis::{Frame, Scale};
pub(super) use lines::{Line, LineChart, Threshold};
pub(super) use series::joined;
pub(super) use stack::{Band, StackChart};

use std::fmt::{self, Write};

use crate::report::Local;

use super::marks::Mark;
use super::markup::Safe;

/// Above the plot, for the numbers of the marks.
const HEAD: f64 = 20.0;

/// Below the plot, for the times.
const FOOT: f64 = 22.0;

/// Marks nearer to the one before than this share its label: nobody sees which line is which.
const TOGETHER_PERCENT: f64 = 3.0;

/// Labels are this far apart: the width of a short one on a phone.
const LABEL_PERCENT: f64 = 7.5;

/// A label is moved this far at most.
const MOVED_PERCENT: f64 = 4.0;

/// What every chart has.
pub(super) struct Canvas<'a> {
    /// Unique on the page: the id of the SVG's title and description.
    pub id: &'a str,
    /// The name of the chart, for those who can't see it.
    pub title: &'a str,
    /// What is to be seen in it.
    pub description: &'a str,
    /// The time it shows.
    pub frame: Frame,
    /// The values it shows.
    pub scale: Scale,
    /// The height of the plot in CSS pixels.
    pub height: f64,
    /// Acts to be marked; those outside the frame are left out.
    pub marks: &'a [Mark],
}

/// The numbers of marks that stand together, in percent of the width.
struct Label {
    /// Where the label is.
    x: f64,
    /// Where its last mark is.
    at: f64,
    first: usize,
    last: usize,
}

impl Canvas<'_> {
    /// The whole SVG: grid, then what `plot` draws in the stretched part, then axes, marks, and `over` on top.
    fn draw(
        &self,
        out: &mut String,
        plot: impl FnOnce(&mut String) -> fmt::Result,
        over: impl FnOnce(&mut String) -> fmt::Result,
    ) -> fmt::Result {
        let (id, height) = (self.id, self.height);
        let total = HEAD + height + FOOT;
        write!(
            out,
            "<div class=\"chart\"><svg role=\"img\" aria-labelledby=\"{id}-t {id}-d\" width=\"100%\" height=\"{total}\">\
             <title id=\"{id}-t\">{}</title><desc id=\"{id}-d\">{}</desc>",
            Safe(self.title),
            Safe(self.description)
        )?;
        for (value, _) in self.scale.ticks() {
            let y = self.y(value);
            write!(out, "<line class=\"grid\" x1=\"0\" x2=\"100%\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>")?;
        }
        write!(
            out,
            "<svg x=\"0\" y=\"{HEAD}\" width=\"100%\" height=\"{height}\" viewBox=\"0 0 1000 {height}\" preserveAspectRatio=\"none\">"
        )?;
        plot(out)?;
        write!(out, "</svg>")?;
        self.draw_axes(out)?;
        self.draw_marks(out)?;
        over(out)?;
        writeln!(out, "</svg></div>")
    }

    fn draw_axes(&self, out: &mut String) -> fmt::Result {
        for (value, label) in self.scale.ticks() {
            write!(
                out,
                "<text class=\"tick\" x=\"-8\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                self.y(value) + 4.0
            )?;
        }
        let bottom = HEAD + self.height;
        let offset = Local::at_ms(self.frame.from).offset();
        for (n, (t_ms, label)) in self.frame.ticks(offset).into_iter().enumerate() {
            let x = self.frame.x(t_ms) / 10.0;
            // Every other time gives way on a phone.
            let class = if n % 2 == 1 { "tick wide" } else { "tick" };
            write!(
                out,
                "<line class=\"axis\" x1=\"{x:.2}%\" x2=\"{x:.2}%\" y1=\"{bottom}\" y2=\"{}\"/>\
                 <text class=\"{class}\" x=\"{x:.2}%\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
                bottom + 4.0,
                bottom + 18.0
            )?;
        }
        write!(out, "<line class=\"axis\" x1=\"0\" x2=\"100%\" y1=\"{bottom}\" y2=\"{bottom}\"/>")
    }

    /// A line for each mark, and above it its number, or the numbers of all that are too near to tell apart.
    fn draw_marks(&self, out: &mut String) -> fmt::Result {
        let bottom = HEAD + self.height;
        for mark in self.marks_inside() {
            let x = self.frame.x(mark.t_ms) / 10.0;
            write!(
                out,
                "<line class=\"mark {}\" x1=\"{x:.2}%\" x2=\"{x:.2}%\" y1=\"{HEAD}\" y2=\"{bottom}\"><title>{} {}</title></line>",
                mark.class.css(),
                Local::at_ms(mark.t_ms).precise(),
                Safe(&mark.words)
            )?;
        }
        for Label { x, first, last, .. } in self.labels() {
            let y = HEAD - 6.0;
            write!(out, "<text class=\"number\" x=\"{x:.2}%\" y=\"{y}\" text-anchor=\"middle\">{first}")?;
            if last > first {
                write!(out, "–{last}")?;
            }
            write!(out, "</text>")?;
        }
        Ok(())
    }

    /// The numbers above the marks: moved a little to the right where they would touch, together where that is too far.
    fn labels(&self) -> Vec<Label> {
        let mut labels: Vec<Label> = Vec::new();
        for mark in self.marks_inside() {
            let (at, number) = (self.frame.x(mark.t_ms) / 10.0, mark.number);
            let free = labels.last().map_or(at, |label| label.x + LABEL_PERCENT);
            match labels.last_mut() {
                Some(label) if at - label.at < TOGETHER_PERCENT || free - at > MOVED_PERCENT => {
                    (label.at, label.last) = (at, number);
                }
                _ => labels.push(Label { x: at.max(free), at, first: number, last: number }),
            }
        }
        labels
    }

    fn marks_inside(&self) -> impl Iterator<Item = &Mark> {
        self.marks.iter().filter(|mark| self.frame.contains(mark.t_ms))
    }

    /// Where a value is, from the top of the SVG.
    fn y(&self, value: f64) -> f64 {
        HEAD + self.down(value)
    }

    /// Where a value is, from the top of the plot.
    fn down(&self, value: f64) -> f64 {
        self.height * (1.0 - (value / self.scale.top).clamp(0.0, 1.0))
    }
}
