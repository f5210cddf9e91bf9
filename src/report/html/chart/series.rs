//! Points in time, made few enough to draw, and cut where nobody looked.

use super::Frame;

/// Points further apart than this are not joined. The flight recorder's longest interval is 30 s; one sample that comes
/// late makes no gap yet.
const GAP_MS: u64 = 75_000;

/// Points are thinned to a few in each of so many columns: more than a page is wide in print.
const COLUMNS: f64 = 500.0;

/// A value at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub t_ms: u64,
    pub value: f64,
}

/// Which column of the frame a time is in.
pub(super) fn column(frame: Frame, t_ms: u64) -> f64 {
    (frame.x(t_ms) * COLUMNS / 1000.0).floor()
}

/// Whether what is between two times (in order) may be drawn.
pub(in crate::report::html) fn joined(before_ms: u64, after_ms: u64) -> bool {
    after_ms.saturating_sub(before_ms) <= GAP_MS
}

/// Runs without a gap, in order.
pub(super) fn runs<T>(items: &[T], t_ms: impl Fn(&T) -> u64) -> impl Iterator<Item = &[T]> {
    items.chunk_by(move |a, b| joined(t_ms(a), t_ms(b)))
}

/// What of the points (in order) is to be drawn: those in the frame and one more at each side, so that lines go on to
/// the edge; thinned to the first, last, least and greatest of each column, so that no peak is lost.
pub(super) fn thinned(points: &[Point], frame: Frame) -> Vec<Point> {
    let begin = points.partition_point(|p| p.t_ms < frame.from).saturating_sub(1);
    let end = points.len().min(points.partition_point(|p| p.t_ms <= frame.to) + 1);
    let mut out = Vec::new();
    for column in points[begin..end].chunk_by(|a, b| column(frame, a.t_ms) == column(frame, b.t_ms)) {
        let by_value = |a: &&Point, b: &&Point| a.value.total_cmp(&b.value);
        let ends = [column.first(), column.last()];
        let extremes = [column.iter().min_by(by_value), column.iter().max_by(by_value)];
        let mut kept: Vec<Point> = ends.into_iter().chain(extremes).flatten().copied().collect();
        kept.sort_by_key(|point| point.t_ms);
        kept.dedup();
        out.extend(kept);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(t_ms: u64, value: f64) -> Point {
        Point { t_ms, value }
    }

    #[test]
    fn ten_minutes_at_four_a_second_are_thinned_and_keep_their_peaks() {
        let mut points: Vec<Point> = (0..2400).map(|n| point(n * 250, 50.0)).collect();
        points[1234].value = 99.0;
        points[1235].value = 1.0;
        let frame = Frame { from: 0, to: 600_000 };
        let drawn = thinned(&points, frame);
        assert!(drawn.len() <= 4 * 501, "{}", drawn.len());
        assert!(drawn.contains(&points[1234]) && drawn.contains(&points[1235]));
        assert_eq!((drawn.first(), drawn.last()), (points.first(), points.last()));
        assert!(drawn.is_sorted_by_key(|point| point.t_ms));
    }

    #[test]
    fn a_frame_takes_its_neighbours_along() {
        let points: Vec<Point> = (0..10).map(|n| point(n * 1000, 1.0)).collect();
        let drawn = thinned(&points, Frame { from: 3500, to: 6500 });
        assert_eq!(drawn, points[3..8]);
        assert_eq!(thinned(&[], Frame { from: 0, to: 1 }), []);
    }

    #[test]
    fn runs_end_where_nobody_looked() {
        let points = [point(0, 1.0), point(30_000, 1.0), point(150_000, 1.0), point(151_000, 1.0)];
        let lengths: Vec<usize> = runs(&points, |p| p.t_ms).map(<[Point]>::len).collect();
        assert_eq!(lengths, [2, 2]);
    }
}
