//! Puts the calling process under the cap: the best kind that is to be had here.

use super::{Kind, Limits, Place, Refusal, Wishes};

/// Puts the calling process, and whatever it starts from now on, under the limits. To be called in a freshly forked process
/// of one thread, whose parent is a subreaper: it may be left with open descriptors, all of which close at an exec.
///
/// # Errors
/// With [`Wishes::require`], when the kernel can't be had to enforce the limits; and says why for each kind.
pub fn confine(limits: &Limits, wishes: &Wishes<'_>) -> Result<Place, Refusal> {
    if wishes.require {
        return Err(Refusal("no kind of cap is to be had here".into()));
    }
    Ok(Place {
        kind: Kind::Watched,
        dir: None,
        pids_dir: None,
        unit: None,
        keeper: None,
        limits: *limits,
        tightest: None,
        remarks: Vec::new(),
    })
}
