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
pub(super) use stack::{Band, StackChart};

use std::fmt::{self, Write};

use super::clock::Clock;
use super::marks::Mark;
use super::markup::Safe;

/// Above the plot, for the numbers of the marks.
const HEAD: f64 = 20.0;

/// Below the plot, for the times.
const FOOT: f64 = 22.0;

/// Two marks nearer than this share one label: a tenth of the plot, which is two digits' width on a phone.
const LABEL_PERCENT: f64 = 10.0;

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
    /// How times are shown.
    pub clock: Clock,
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
        for (n, (t_ms, label)) in self.frame.ticks(self.clock).into_iter().enumerate() {
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

    /// A line for each mark, and its number, or the numbers of all that are too near to tell apart.
    fn draw_marks(&self, out: &mut String) -> fmt::Result {
        let bottom = HEAD + self.height;
        let mut labels: Vec<(f64, f64, usize, usize)> = Vec::new();
        for mark in self.marks.iter().filter(|mark| self.frame.contains(mark.t_ms)) {
            let x = self.frame.x(mark.t_ms) / 10.0;
            write!(
                out,
                "<line class=\"mark {}\" x1=\"{x:.2}%\" x2=\"{x:.2}%\" y1=\"{HEAD}\" y2=\"{bottom}\"><title>{} {}</title></line>",
                mark.class.css(),
                self.clock.precise(mark.t_ms),
                Safe(&mark.words)
            )?;
            match labels.last_mut() {
                Some((first, last, _, to)) if x - *first < LABEL_PERCENT => (*last, *to) = (x, mark.number),
                _ => labels.push((x, x, mark.number, mark.number)),
            }
        }
        for (first, last, from, to) in labels {
            let x = f64::midpoint(first, last);
            let y = HEAD - 6.0;
            write!(out, "<text class=\"number\" x=\"{x:.2}%\" y=\"{y}\" text-anchor=\"middle\">{from}")?;
            if to > from {
                write!(out, "–{to}")?;
            }
            write!(out, "</text>")?;
        }
        Ok(())
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
