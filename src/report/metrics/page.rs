//! The text of the file.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::super::field::Origin;
use super::super::status::Snapshot;
use super::counts::{Counts, DECIDE_BOUNDS_USEC};
use super::table::{METRICS, MetricSpec, Source};

/// The text is about 10 KiB: it is written without moving.
const TEXT_BYTES: usize = 12 * 1024;

const USEC_A_SECOND: f64 = 1e6;

/// All that is said in one file. The registry is made for it and dropped with it: between two files nothing is kept but
/// the counts.
#[derive(Debug)]
pub(super) struct Page {
    pub counts: Arc<Counts>,
    pub origin: Origin,
    /// What the guard last saw and when, if it saw anything yet.
    pub seen: Option<(SystemTime, Snapshot)>,
}

/// One line.
#[derive(Debug)]
pub(super) struct Sample {
    pub labels: Vec<(&'static str, &'static str)>,
    pub value: Number,
}

/// A sample's value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Whole(u64),
    Real(f64),
}

impl Page {
    /// # Errors
    /// A value could not be written, which no value here is known to do.
    pub fn text(self) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::with_capacity(TEXT_BYTES);
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for spec in &METRICS {
            match spec.source {
                Source::Gauge(samples) => write(&mut encoder, spec, MetricType::Gauge, &samples(self), gauge)?,
                Source::Counter(samples) => write(&mut encoder, spec, MetricType::Counter, &samples(self), counter)?,
                Source::Decisions => self.write_decisions(&mut encoder, spec)?,
            }
        }
        Ok(())
    }
}

impl Page {
    fn write_decisions(&self, encoder: &mut DescriptorEncoder<'_>, spec: &MetricSpec) -> fmt::Result {
        let (decided, usec) = self.counts.decided();
        let bounds = DECIDE_BOUNDS_USEC.iter().map(|bound| real(*bound) / USEC_A_SECOND).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(decided).collect();
        let (name, unit) = name_and_unit(spec.family);
        let mut metric = encoder.encode_descriptor(name, spec.help, unit.as_ref(), MetricType::Histogram)?;
        metric.encode_histogram::<NoLabelSet>(real(usec) / USEC_A_SECOND, decided.iter().sum(), &buckets, None)
    }
}

/// A family of which nothing is known is left out.
fn write(
    encoder: &mut DescriptorEncoder<'_>,
    spec: &MetricSpec,
    kind: MetricType,
    samples: &[Sample],
    value: fn(&mut MetricEncoder<'_>, &Number) -> fmt::Result,
) -> fmt::Result {
    if samples.is_empty() {
        return Ok(());
    }
    let (name, unit) = name_and_unit(spec.family);
    let mut metric = encoder.encode_descriptor(name, spec.help, unit.as_ref(), kind)?;
    for sample in samples {
        // Without labels there are to be no braces either.
        if sample.labels.is_empty() {
            value(&mut metric, &sample.value)?;
        } else {
            value(&mut metric.encode_family(&sample.labels)?, &sample.value)?;
        }
    }
    Ok(())
}

fn gauge(metric: &mut MetricEncoder<'_>, value: &Number) -> fmt::Result {
    match value {
        Number::Whole(n) => metric.encode_gauge(n),
        Number::Real(x) => metric.encode_gauge(x),
    }
}

fn counter(metric: &mut MetricEncoder<'_>, value: &Number) -> fmt::Result {
    match value {
        Number::Whole(n) => metric.encode_counter::<NoLabelSet, _, u64>(n, None),
        Number::Real(x) => metric.encode_counter::<NoLabelSet, _, u64>(x, None),
    }
}

/// The crate puts the unit behind the name, and says it in a line of its own.
fn name_and_unit(family: &str) -> (&str, Option<Unit>) {
    let units = [("_bytes", Unit::Bytes), ("_seconds", Unit::Seconds)];
    let known = units.into_iter().find_map(|(suffix, unit)| Some((family.strip_suffix(suffix)?, unit)));
    known.map_or((family, None), |(name, unit)| (name, Some(unit)))
}

impl From<u64> for Number {
    fn from(n: u64) -> Self {
        Self::Whole(n)
    }
}

impl From<f64> for Number {
    fn from(x: f64) -> Self {
        Self::Real(x)
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds: exact for 285 years")]
fn real(n: u64) -> f64 {
    n as f64
}
