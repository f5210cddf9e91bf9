//! Files of `key value` lines, such as `memory.stat`: a struct of optional counters for each.

use super::text::{lines, split_once, unsigned};
use super::{FileKind, Malformed};

/// A struct whose fields are found by the kernel's keys.
pub(super) trait Keyed: Default {
    /// The field for `key`, with its name; `None` for a key nobody asked for.
    fn slot(&mut self, key: &[u8]) -> Option<(&'static str, &mut Option<u64>)>;
}

/// Declares a struct of `Option<u64>` fields and the key, or keys, that fill each.
macro_rules! keyed_struct {
    (
        $(#[$struct_meta:meta])*
        pub struct $name:ident { $( $(#[$meta:meta])* $($key:literal)|+ => $field:ident, )* }
    ) => {
        $(#[$struct_meta])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct $name { $( $(#[$meta])* pub $field: Option<u64>, )* }

        impl crate::observe::parse::keyed::Keyed for $name {
            fn slot(&mut self, key: &[u8]) -> Option<(&'static str, &mut Option<u64>)> {
                match key {
                    $( $($key)|+ => Some((stringify!($field), &mut self.$field)), )*
                    _ => None,
                }
            }
        }
    };
}
pub(super) use keyed_struct;

/// Fills a `T` from `key value` lines.
///
/// # Errors
/// A known key whose value is no number, or a file in which no known key is found at all.
pub(super) fn parse<T: Keyed>(file: FileKind, bytes: &[u8]) -> Result<T, Malformed> {
    let mut values = T::default();
    let mut found = false;
    for line in lines(bytes) {
        let Some((key, value)) = split_once(line, b' ') else {
            continue;
        };
        let Some((name, slot)) = values.slot(key) else {
            continue;
        };
        if slot.is_none() {
            *slot = Some(unsigned(value).ok_or(file.unreadable(name))?);
            found = true;
        }
    }
    if found { Ok(values) } else { Err(file.missing("any known key")) }
}
