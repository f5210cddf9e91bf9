//! Bands on top of one another over time.

use std::fmt::{self, Write};

use super::series::{column, joined, runs};
use super::{Canvas, HEAD};

/// A snapshot that stands alone is drawn this wide, in thousandths of the plot.
const ALONE: f64 = 8.0;

/// A letter fits into a band this high.
const LETTER_HEIGHT: f64 = 15.0;

/// Of a band's greatest height.
const NEARLY: f64 = 0.7;

/// A band; its place in the list is its place in the stack, the first at the bottom.
pub(in crate::report::html) struct Band {
    /// Gives the colour.
    pub class: String,
    /// Stands in the band where there is room.
    pub letter: char,
    /// A value for each time of the chart.
    pub values: Vec<f64>,
}

pub(in crate::report::html) struct StackChart<'a> {
    pub canvas: Canvas<'a>,
    /// Milliseconds since 1970, in order.
    pub times: Vec<u64>,
    pub bands: Vec<Band>,
}

/// All bands at one time.
#[derive(Clone)]
struct Snapshot {
    t_ms: u64,
    values: Vec<f64>,
}

impl Snapshot {
    fn total(&self) -> f64 {
        self.values.iter().sum()
    }
}

/// The edges of a band.
fn slices(snapshots: &[Snapshot], band: usize) -> Vec<Slice> {
    let slice = |snapshot: &Snapshot| {
        let low = snapshot.values[..band].iter().sum();
        Slice { t_ms: snapshot.t_ms, low, high: low + snapshot.values[band] }
    };
    snapshots.iter().map(slice).collect()
}

/// One band's edges at one time.
#[derive(Clone, Copy)]
struct Slice {
    t_ms: u64,
    low: f64,
    high: f64,
}

impl StackChart<'_> {
    pub fn draw(&self, out: &mut String) -> fmt::Result {
        let snapshots = self.snapshots();
        let bands: Vec<(&Band, Vec<Slice>)> =
            self.bands.iter().enumerate().map(|(n, band)| (band, slices(&snapshots, n))).collect();
        self.canvas.draw(
            out,
            |out| bands.iter().try_for_each(|(band, slices)| self.draw_band(out, band, slices)),
            |out| bands.iter().try_for_each(|(band, slices)| self.draw_letter(out, band, slices)),
        )
    }

    /// What is drawn: of each column the time with the highest stack. Sizes stay until the next look and change at once: a
    /// slope would say that somebody shrank before it was killed.
    fn snapshots(&self) -> Vec<Snapshot> {
        let all: Vec<Snapshot> = self.times.iter().enumerate().map(|(n, &t_ms)| self.snapshot(n, t_ms)).collect();
        let frame = self.canvas.frame;
        let mut drawn: Vec<Snapshot> = Vec::new();
        for column in all.chunk_by(|a, b| column(frame, a.t_ms) == column(frame, b.t_ms)) {
            let Some(now) = column.iter().max_by(|a, b| a.total().total_cmp(&b.total())) else { continue };
            if let Some(before) = drawn.last().filter(|before| joined(before.t_ms, now.t_ms)) {
                drawn.push(Snapshot { t_ms: now.t_ms, values: before.values.clone() });
            }
            drawn.push(now.clone());
        }
        drawn
    }

    fn snapshot(&self, n: usize, t_ms: u64) -> Snapshot {
        Snapshot { t_ms, values: self.bands.iter().map(|band| band.values[n]).collect() }
    }

    fn draw_band(&self, out: &mut String, band: &Band, slices: &[Slice]) -> fmt::Result {
        write!(out, "<path class=\"band {}\" d=\"", band.class)?;
        for run in runs(slices, |slice| slice.t_ms) {
            let x = |slice: &Slice| self.canvas.frame.x(slice.t_ms);
            if let [alone] = run {
                let (top, bottom) = (self.canvas.down(alone.high), self.canvas.down(alone.low));
                let left = x(alone) - ALONE / 2.0;
                write!(out, "M{left:.1} {bottom:.1}V{top:.1}h{ALONE}V{bottom:.1}Z")?;
                continue;
            }
            for (n, slice) in run.iter().enumerate() {
                let step = if n == 0 { 'M' } else { 'L' };
                write!(out, "{step}{:.1} {:.1}", x(slice), self.canvas.down(slice.high))?;
            }
            for slice in run.iter().rev() {
                write!(out, "L{:.1} {:.1}", x(slice), self.canvas.down(slice.low))?;
            }
            write!(out, "Z")?;
        }
        write!(out, "\"/>")
    }

    /// The letter stands between two neighbours, in the middle of where the band is nearly as high as it gets. A band that
    /// is nowhere high enough has none.
    fn draw_letter(&self, out: &mut String, band: &Band, slices: &[Slice]) -> fmt::Result {
        let height = |slice: &Slice| self.canvas.down(slice.low) - self.canvas.down(slice.high);
        let lower = |pair: &[Slice; 2]| height(&pair[0]).min(height(&pair[1]));
        let pairs = || runs(slices, |slice| slice.t_ms).flat_map(<[Slice]>::array_windows);
        let highest = pairs().map(lower).fold(0.0, f64::max);
        let high: Vec<_> = pairs().filter(|&pair| lower(pair) >= LETTER_HEIGHT.max(highest * NEARLY)).collect();
        let Some([before, after]) = high.get(high.len() / 2) else {
            return Ok(());
        };
        let middle = |slice: &Slice| self.canvas.down(f64::midpoint(slice.low, slice.high));
        let x = f64::midpoint(self.canvas.frame.x(before.t_ms), self.canvas.frame.x(after.t_ms)) / 10.0;
        // Not over the edge of the plot.
        let x = x.clamp(2.0, 98.0);
        let y = HEAD + f64::midpoint(middle(before), middle(after)) + 4.0;
        write!(out, "<text class=\"letter\" x=\"{x:.2}%\" y=\"{y:.1}\" text-anchor=\"middle\">{}</text>", band.letter)
    }
}
