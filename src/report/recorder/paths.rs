//! The paths of cgroups, each kept once however often it is named.

use std::num::NonZeroU32;

use super::super::text::Text;

/// Longest path kept whole, in bytes: Kubernetes' nested slices come to about 180, the escaped unit names of a desktop
/// session to some more. Of a longer one the end is kept, which tells more than the beginning.
const PATH_BYTES: usize = 250;

/// Put where the beginning was left out.
const MARKER: &str = "…";

/// How many are known at the same time: ten minutes in which 128 cgroups are among the largest are a busy ten minutes.
const PATHS: usize = 128;

/// A cgroup's path as it is kept.
pub(super) type Path = Text<PATH_BYTES>;

/// Names a path for as long as it is not crowded out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PathRef {
    slot: u8,
    generation: NonZeroU32,
}

/// A place for a path.
#[derive(Clone, Debug)]
struct Slot {
    path: Path,
    /// Which of the paths that stood here one after the other.
    generation: NonZeroU32,
    /// When it was last named: [`Paths::uses`] then.
    used: u64,
}

/// The paths that were named last.
#[derive(Debug)]
pub(super) struct Paths {
    slots: Vec<Slot>,
    /// How often a path was named.
    uses: u64,
}

impl Paths {
    /// What it takes, in bytes.
    pub const BYTES: usize = PATHS * size_of::<Slot>();

    pub fn new() -> Self {
        Self { slots: Vec::with_capacity(PATHS), uses: 0 }
    }

    /// Keeps a path, in place of the one that was not named for the longest time if there is no room.
    pub fn keep(&mut self, path: &[u8]) -> Option<PathRef> {
        let path = whole_or_end(path);
        self.uses += 1;
        let known = self.slots.iter().position(|slot| slot.path == path);
        let at = match known {
            Some(at) => at,
            None if self.slots.len() < PATHS => {
                self.slots.push(Slot { path, generation: NonZeroU32::MIN, used: 0 });
                self.slots.len() - 1
            }
            None => {
                let (at, slot) = self.slots.iter_mut().enumerate().min_by_key(|(_, slot)| slot.used)?;
                slot.path = path;
                slot.generation = slot.generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
                at
            }
        };
        let slot = self.slots.get_mut(at)?;
        slot.used = self.uses;
        Some(PathRef { slot: u8::try_from(at).ok()?, generation: slot.generation })
    }

    /// The path, unless it was crowded out.
    pub fn get(&self, path: PathRef) -> Option<&Path> {
        let slot = self.slots.get(usize::from(path.slot))?;
        (slot.generation == path.generation).then_some(&slot.path)
    }

    /// As [`super::ring::Ring::touch`].
    pub fn touch(&mut self) {
        self.slots.spare_capacity_mut().iter_mut().for_each(|slot| {
            slot.write(Slot { path: Path::new(), generation: NonZeroU32::MIN, used: 0 });
        });
    }
}

/// The path, or its end behind a mark.
pub(super) fn whole_or_end(path: &[u8]) -> Path {
    if path.len() <= PATH_BYTES {
        return Path::from_bytes(path);
    }
    let mut kept = Path::from_bytes(MARKER.as_bytes());
    let end = &path[path.len() - (PATH_BYTES - MARKER.len())..];
    // Not in the middle of a character.
    let begin = end.iter().position(|byte| byte & 0b1100_0000 != 0b1000_0000).unwrap_or(0);
    kept.push_bytes(&end[begin..]);
    kept
}

/// Whether this is what is kept of a path, as it is written out.
pub(super) fn is_path(kept: &Path, path: &str) -> bool {
    let kept = kept.to_string();
    kept.strip_prefix(MARKER).map_or(kept == path, |end| path.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_paths_are_kept_whole() {
        let pod = format!(
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{}.slice/cri-containerd-{}.scope",
            "0a1b2c3d_4e5f_6071_8293_a4b5c6d7e8f9",
            "0123456789abcdef".repeat(4)
        );
        let app = "/user.slice/user-1000.slice/user@1000.service/app.slice/\
                   app-gnome-org.mozilla.firefox\\x2desr-1234567.scope";
        for path in [pod.as_str(), app, "/", ""] {
            assert_eq!(whole_or_end(path.as_bytes()).as_bytes(), path.as_bytes());
        }
    }

    #[test]
    fn of_a_longer_one_the_end_is_kept_and_marked() {
        let long = format!("/{}/end.service", "nested/".repeat(60).trim_end_matches('/'));
        let kept = whole_or_end(long.as_bytes()).to_string();
        assert!(kept.starts_with('…') && kept.ends_with("/nested/end.service"), "{kept}");
        assert_eq!(kept.len(), PATH_BYTES);
        // 2-byte characters, of which the cut goes through one.
        let kept = whole_or_end(format!("/{}x", "é".repeat(200)).as_bytes()).to_string();
        assert!(kept.starts_with("…é") && kept.ends_with("éx"), "{kept}");
    }

    #[test]
    fn each_is_kept_once_and_the_longest_unused_goes_first() {
        let mut paths = Paths::new();
        let path = |n: usize| format!("/{n}.service").into_bytes();
        let refs: Vec<_> = (0..PATHS).map(|n| paths.keep(&path(n)).unwrap()).collect();
        assert_eq!(paths.keep(&path(0)), Some(refs[0]), "known");

        let newcomer = paths.keep(b"/new.service").unwrap();
        assert_eq!(paths.get(newcomer).unwrap().as_bytes(), b"/new.service");
        assert_eq!(paths.get(refs[0]).unwrap().as_bytes(), b"/0.service", "it was named again meanwhile");
        assert_eq!(paths.get(refs[1]), None, "crowded out: never another path in its place");
        for n in 0..10 * PATHS {
            let at = paths.keep(&path(n)).unwrap();
            assert_eq!(paths.get(at).unwrap().as_bytes(), path(n));
        }
        assert_eq!(paths.slots.capacity(), PATHS);
    }
}
