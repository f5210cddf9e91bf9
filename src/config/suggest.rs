//! Which known name an unknown one was probably meant to be.

use std::ops::Range;

use super::format::Reading;
use super::problem::{Bad, quoted};

/// Longer names are not compared: no known one comes near, and the comparison is quadratic.
const MAX_COMPARED: usize = 40;

/// The known name nearest to `name`, if one is near enough to be meant: a third of its letters may differ.
pub(super) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    if name.len() > MAX_COMPARED {
        return None;
    }
    let lower = name.to_lowercase().replace('-', "_");
    known
        .iter()
        .map(|k| (strsim::damerau_levenshtein(&lower, k), *k))
        .min()
        .filter(|(distance, k)| *distance <= k.len().max(lower.len()) / 3)
        .map(|(_, k)| k)
}

/// Notes an unknown key at `place` (as `in [memory]`), with the key that was probably meant: one of `known` there, or the
/// same name in one of the sections `elsewhere`.
pub(super) fn unknown_key(
    reading: &mut Reading,
    key: &toml::Spanned<toml::de::DeString<'_>>,
    place: &str,
    known: &[&str],
    elsewhere: &[&str],
) {
    let name: &str = key.get_ref();
    unknown(reading, key.span(), || {
        let help = match (nearest(name, known), elsewhere) {
            (Some(near), _) => format!("did you mean {}?", quoted(near)),
            (None, []) if known.is_empty() => "put it below the [section] it belongs to".to_owned(),
            (None, []) => format!("the keys there are {}", known.join(", ")),
            (None, sections) => format!("did you mean [{}] {name}?", sections.join(&format!("] {name} or ["))),
        };
        Bad::new(format!("unknown key {} {place}", quoted(name)), help)
    });
}

/// Notes something unknown at `span`.
pub(super) fn unknown(reading: &mut Reading, span: Range<usize>, bad: impl FnOnce() -> Bad) {
    let source = reading.source;
    reading.problems.add(|| source.problem(span, bad()));
}
